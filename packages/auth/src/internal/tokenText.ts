/** Why a header cannot hold the token, without showing it; `undefined` where it can. */
export const problemOf = (token: string): string | undefined => {
  if (token === "") return "it is empty"
  if (token.length > longest) return `it has ${token.length} characters, and a header takes at most ${longest}`
  const index = token.search(unfit)
  if (index < 0) return undefined
  return `it has ${nameOf(token.charCodeAt(index))} at character ${index + 1} of ${token.length}`
}

const longest = 65_536

// RFC 9110, section 5.5: what a field value may hold. Blanks at its ends are not part of it.
const unfit = /[^\t\x20-\x7e\x80-\xff]|^[\t ]|[\t ]$/

const nameOf = (code: number): string => {
  if (code === 0x0a || code === 0x0d) return "a line break"
  if (code === 0x20 || code === 0x09) return "a blank"
  return code < 0x20 || code === 0x7f ? "a control character" : "a character outside of Latin-1"
}

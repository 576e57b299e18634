/** What an error code of OAuth is about: the credentials for good, or something that passes; `undefined` for any other. */
export const judgeCode = (code: string | undefined): "credentials" | "passing" | undefined =>
  code === undefined || !Object.hasOwn(codes, code) ? undefined : codes[code]

// RFC 6749, sections 5.2 and 4.1.2.1; RFC 8628, section 3.5.
const codes: { readonly [code: string]: "credentials" | "passing" } = {
  invalid_client: "credentials",
  invalid_grant: "credentials",
  unauthorized_client: "credentials",
  temporarily_unavailable: "passing",
  server_error: "passing",
  slow_down: "passing",
  authorization_pending: "passing"
}

/** The state of the page as the fragment of its address. */
import type { Part, Scenario } from "./scenario.ts"

const limit = 64_000

/** `#` and the scenario as JSON in base64url. */
export const fragment = (scenario: Scenario): string => {
  const bytes = new TextEncoder().encode(JSON.stringify(scenario))
  const text = Array.from(bytes, (byte) => String.fromCodePoint(byte)).join("")
  return `#${btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`
}

/** The parts of a fragment that could be a scenario, as texts: they are still whatever the link's author wrote. */
export const texts = (
  hash: string
): Record<Exclude<Part, "saferWorld">, string> & { saferWorld?: string } | undefined => {
  if (hash.length < 2 || hash.length > limit) return undefined
  try {
    const text = atob(hash.slice(1).replaceAll("-", "+").replaceAll("_", "/"))
    const bytes = Uint8Array.from(text, (char) => char.codePointAt(0) ?? 0)
    const scenario: { readonly [P in Part]?: unknown } = JSON.parse(new TextDecoder().decode(bytes))
    const write = (part: unknown) => JSON.stringify(part ?? null, null, 2)
    return {
      yours: write(scenario.yours),
      safer: write(scenario.safer),
      world: write(scenario.world),
      ...(scenario.saferWorld === undefined ? {} : { saferWorld: write(scenario.saferWorld) })
    }
  } catch {
    return undefined
  }
}

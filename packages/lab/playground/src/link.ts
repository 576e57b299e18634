/** The state of the page as the fragment of its address. */
import type { Part, Scenario } from "./scenario.ts"

const limit = 64_000

/** What a fragment begins with; another number where its state is written in another way. */
const version = "1."

/** `#`, the version, and the scenario as JSON in base64url. */
export const fragment = (scenario: Scenario): string => {
  const bytes = new TextEncoder().encode(JSON.stringify(scenario))
  const text = Array.from(bytes, (byte) => String.fromCodePoint(byte)).join("")
  return `#${version}${btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`
}

/** The parts of a scenario as texts: they are still whatever the link's author wrote. */
export type Texts = Record<Exclude<Part, "saferWorld">, string> & { readonly saferWorld?: string }

/** What a fragment says: nothing, a scenario's texts, or why it is no link of this page. */
export type Opened = { readonly texts: Texts } | { readonly problem: string }

export const open = (hash: string): Opened | undefined => {
  if (hash.length < 2) return undefined
  if (hash.length > limit) return { problem: "it is longer than 64 kB" }
  const written = hash.slice(1)
  if (!written.startsWith(version)) {
    return {
      problem: /^\d+\./.test(written) ? "it is from another version of this page" : "it was not made by this page"
    }
  }
  try {
    const text = atob(written.slice(version.length).replaceAll("-", "+").replaceAll("_", "/"))
    const bytes = Uint8Array.from(text, (char) => char.codePointAt(0) ?? 0)
    const scenario: { readonly [P in Part]?: unknown } = JSON.parse(new TextDecoder().decode(bytes))
    const write = (part: unknown) => JSON.stringify(part ?? null, null, 2)
    return {
      texts: {
        yours: write(scenario.yours),
        safer: write(scenario.safer),
        world: write(scenario.world),
        ...(scenario.saferWorld === undefined ? {} : { saferWorld: write(scenario.saferWorld) })
      }
    }
  } catch {
    return { problem: "a part of it is missing or damaged" }
  }
}

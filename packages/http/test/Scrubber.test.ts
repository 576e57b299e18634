import { Scrubber } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import * as fc from "fast-check"

const knowing = (...secrets: ReadonlyArray<string>) => {
  const scrubber = Scrubber.make()
  for (const secret of secrets) scrubber.register(Redacted.make(secret))
  return scrubber
}

const utf8 = new TextEncoder()
const base64 = (text: string) => btoa(String.fromCharCode(...utf8.encode(text)))
const json = (text: string) => JSON.stringify(text).slice(1, -1)
const entities = (text: string) =>
  text.replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;" })[c] ?? "&#39;")

const encodings: { readonly [name: string]: (secret: string) => string } = {
  "as it is": (secret) => secret,
  "URL-encoded": (secret) => encodeURIComponent(secret),
  "URL-encoded in lower case": (secret) => encodeURIComponent(secret).replace(/%../g, (code) => code.toLowerCase()),
  "URL-encoded strictly": (secret) =>
    encodeURIComponent(secret).replace(/[!'()*~]/g, (c) => `%${c.charCodeAt(0).toString(16)}`),
  "URL-encoded twice": (secret) => encodeURIComponent(encodeURIComponent(secret)),
  "form-encoded": (secret) => new URLSearchParams([["k", secret]]).toString().slice(2),
  "JSON-escaped": json,
  "JSON-escaped twice": (secret) => json(json(secret)),
  "JSON-escaped with escaped slashes": (secret) => json(secret).replaceAll("/", "\\/"),
  "JSON-escaped to ASCII": (secret) =>
    secret.replace(/[^A-Za-z0-9]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`),
  "with HTML entities": entities,
  "with numeric HTML entities": (secret) =>
    [...secret].map((c) => /[A-Za-z0-9]/.test(c) ? c : `&#x${(c.codePointAt(0) ?? 0).toString(16)};`).join("")
}

const secrets = fc.oneof(
  fc.string({ minLength: 4, maxLength: 40 }),
  fc.string({ minLength: 4, maxLength: 20, unit: "grapheme" })
).filter((secret) => secret.length >= 4 && !/\p{Surrogate}/u.test(secret))

describe("Scrubber", () => {
  for (const [name, encode] of Object.entries(encodings)) {
    it(`finds any secret ${name}`, () => {
      fc.assert(fc.property(secrets, (secret) => {
        const scrubbed = knowing(secret).scrub(`«${encode(secret)}»`)
        assert.strictEqual(scrubbed, `«${Scrubber.placeholder}»`)
      }))
    })
  }

  it("finds any secret in base64 and base64url, whatever surrounds it", () => {
    const around = fc.string({ maxLength: 9 })
    fc.assert(fc.property(secrets, around, around, (secret, before, after) => {
      const scrubber = knowing(secret)
      const encoded = base64(before + secret + after)
      for (const text of [encoded, encoded.replaceAll("+", "-").replaceAll("/", "_"), encodeURIComponent(encoded)]) {
        assert.include(scrubber.scrub(text), Scrubber.placeholder)
      }
    }))
  })

  it("leaves text without secrets alone", () => {
    fc.assert(fc.property(fc.string(), (text) => {
      assert.strictEqual(knowing("a secret that no string has").scrub(text), text)
    }))
  })

  it("removes a secret whole that begins with another one", () => {
    const scrubber = knowing("public-key", "public-key/and-more")
    assert.strictEqual(scrubber.scrub("public-key/and-more, public-key"), "<redacted>, <redacted>")
  })

  it("takes a secret with special characters literally", () => {
    const scrubber = knowing("a.b*c(d)[e]{f}$^|\\")
    assert.strictEqual(scrubber.scrub("a.b*c(d)[e]{f}$^|\\ aXb"), "<redacted> aXb")
  })

  it("ignores what is too short to be a secret", () => {
    assert.strictEqual(knowing("abc", "").scrub("abcdef"), "abcdef")
  })

  it("forgets those first that were not registered again", () => {
    const scrubber = knowing("the-long-lived-key")
    for (let i = 0; i < 1_500; i++) {
      scrubber.register(Redacted.make(`token-${String(i).padStart(6, "0")}`))
      if (i % 500 === 0) scrubber.register(Redacted.make("the-long-lived-key"))
    }
    assert.strictEqual(
      scrubber.scrub("the-long-lived-key token-000000 token-001499"),
      "<redacted> token-000000 <redacted>"
    )
  })
})

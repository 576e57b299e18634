import { Scrubber } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"

const knowing = (...secrets: ReadonlyArray<string>) => {
  const scrubber = Scrubber.make()
  for (const secret of secrets) scrubber.register(Redacted.make(secret))
  return scrubber
}

const fixed = (now: number): Clock.Clock => ({
  currentTimeMillisUnsafe: () => now,
  currentTimeMillis: Effect.succeed(now),
  currentTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
  currentTimeNanos: Effect.succeed(BigInt(now) * 1_000_000n),
  monotonicTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
  monotonicTimeNanos: Effect.succeed(BigInt(now) * 1_000_000n),
  sleep: () => Effect.void
})

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

const hex = (text: string) => Array.from(utf8.encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("")
const units = (text: string, encode: (unit: number) => string) =>
  text.split("").map((unit) => encode(unit.charCodeAt(0))).join("")

/** Each also takes a number, which decides where it breaks a text or what it puts around it. */
const layers: { readonly [name: string]: (text: string, n: number) => string } = {
  lower: (text) => text.toLowerCase(),
  upper: (text) => text.toUpperCase(),
  hex,
  HEX: (text) => hex(text).toUpperCase(),
  percent: encodeURIComponent,
  "percent of all": (text) => hex(text).replace(/../g, "%$&"),
  form: (text) => new URLSearchParams([["k", text]]).toString().slice(2),
  json,
  "\\u of all": (text) => units(text, (unit) => `\\u${unit.toString(16).padStart(4, "0")}`),
  html: entities,
  "&# of all": (text) => Array.from(text, (c) => `&#${c.codePointAt(0)};`).join(""),
  "&#x of all": (text) => Array.from(text, (c) => `&#x${c.codePointAt(0)?.toString(16)};`).join(""),
  "quoted-printable": (text) =>
    Array.from(text, (c) => /[!-<>-~]/.test(c) ? c : hex(c).toUpperCase().replace(/../g, "=$&")).join("")
      .replace(/.{30}(?![0-9A-F]?$|[0-9A-F]{0,2}=)(?<!=.?)/g, "$&=\r\n"),
  base64: (text, n) => base64("before".slice(0, n % 7) + text + "after".slice(0, n % 5)),
  base64url: (text) => base64(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""),
  "base64 in lines": (text, n) => base64(text).replace(new RegExp(`.{${20 + n % 57}}`, "g"), "$&\r\n"),
  "split over lines": (text, n) => {
    const characters = Array.from(text)
    characters.splice(n % (characters.length + 1), 0, "\n")
    return characters.join("")
  }
}

const isCase = (layer: string | undefined) => layer === "lower" || layer === "upper"

/** In base64 whose case was changed, only the secret itself, its base64 and its hex are found. */
const isRecoverable = (chain: ReadonlyArray<string>) => {
  const at = chain.findIndex((layer) => layer.startsWith("base64"))
  if (at < 0 || !chain.slice(at).some(isCase)) return true
  if (chain[0] === "base64 in lines" && chain[1]?.startsWith("base64") === true) return false
  return at === 0 || (at === 1 && (isCase(chain[0]) || /hex/i.test(chain[0] ?? "")))
}

const chains = fc.array(fc.constantFrom(...Object.keys(layers)), { minLength: 1, maxLength: 3 }).filter(isRecoverable)

const tokens = fc.oneof(
  fc.string({ minLength: 8, maxLength: 60, unit: fc.constantFrom(..."ABCxyz0189-_.~+/=") }),
  fc.string({ minLength: 8, maxLength: 40, unit: fc.constantFrom(..."Zz09!#$&'()*,:;<>?@[]^`{|}\"%+/=é日ß") })
).filter((secret) => secret.replace(/[+-]/g, "").length >= 8)

const secrets = fc.oneof(
  fc.string({ minLength: 4, maxLength: 40 }),
  fc.string({ minLength: 4, maxLength: 20, unit: "grapheme" })
).filter((secret) => secret.length >= 4 && !/\p{Surrogate}/u.test(secret))

describe("Scrubber", () => {
  for (const [name, encode] of Object.entries(encodings)) {
    it(`finds any secret ${name}`, () => {
      fc.assert(
        fc.property(secrets, (secret) => {
          const scrubbed = knowing(secret).scrub(`«${encode(secret)}»`)
          // A secret that begins with a quote or a backslash stands as it is behind the backslash of its escape, which may stay.
          assert.strictEqual(scrubbed.replace("«\\", "«"), `«${Scrubber.placeholder}»`)
        }),
        { seed: 14 }
      )
    })
  }

  it("finds any secret in base64 and base64url, whatever surrounds it", () => {
    const around = fc.string({ maxLength: 9 })
    fc.assert(
      fc.property(secrets, around, around, (secret, before, after) => {
        const scrubber = knowing(secret)
        const encoded = base64(before + secret + after)
        for (const text of [encoded, encoded.replaceAll("+", "-").replaceAll("/", "_"), encodeURIComponent(encoded)]) {
          assert.include(scrubber.scrub(text), Scrubber.placeholder)
        }
      }),
      { seed: 14 }
    )
  })

  it("finds any secret under a chain of up to three encodings", () => {
    fc.assert(
      fc.property(tokens, chains, fc.array(fc.nat(99), { minLength: 3, maxLength: 3 }), (secret, chain, numbers) => {
        const encoded = chain.reduce((text, layer, i) => layers[layer]?.(text, numbers[i] ?? 0) ?? text, secret)
        assert.include(knowing(secret).scrub(`id: ${encoded} ok`), Scrubber.placeholder, encoded)
      }),
      { seed: 14, numRuns: 3_000 }
    )
  })

  it("leaves text without secrets alone", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.strictEqual(knowing("a secret that no string has").scrub(text), text)
      }),
      { seed: 14 }
    )
  })

  it("removes the whole of a secret that begins with another one", () => {
    const scrubber = knowing("public-key", "public-key/and-more")
    assert.strictEqual(scrubber.scrub("public-key/and-more, public-key"), "<redacted>, <redacted>")
  })

  it("takes a secret with special characters literally", () => {
    const scrubber = knowing("a.b*c(d)[e]{f}$^|\\")
    assert.strictEqual(scrubber.scrub("a.b*c(d)[e]{f}$^|\\ aXb"), "<redacted> aXb")
  })

  it.effect("forgets a token one hour after its end, by the clock of that end", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("5 hours")
      const clock = yield* Clock.Clock
      const scrubber = knowing("the-long-lived-key")
      scrubber.register(Redacted.make("token-that-ends"), { end: clock.currentTimeMillisUnsafe() + 60_000, clock })
      scrubber.register(Redacted.make("token-of-another-clock"), { end: 1_000, clock: fixed(1_000) })
      const text = "the-long-lived-key token-that-ends token-of-another-clock"
      yield* TestClock.adjust("60 minutes")
      assert.strictEqual(scrubber.scrub(text), "<redacted> <redacted> <redacted>")
      yield* TestClock.adjust("61 seconds")
      assert.strictEqual(scrubber.scrub(text), "<redacted> token-that-ends <redacted>")
      // It may come back.
      scrubber.register(Redacted.make("token-that-ends"))
      assert.strictEqual(scrubber.scrub(text), "<redacted> <redacted> <redacted>")
    }))

  it("forgets tokens with an end before keys without one", () => {
    const scrubber = Scrubber.make({ capacity: 3 })
    scrubber.register(Redacted.make("the-long-lived-key"))
    for (const n of [1, 2, 3, 4]) {
      scrubber.register(Redacted.make(`token-number-${n}`), { end: Number.MAX_SAFE_INTEGER, clock: fixed(0) })
    }
    assert.strictEqual(
      scrubber.scrub("the-long-lived-key token-number-1 token-number-2 token-number-3 token-number-4"),
      "<redacted> token-number-1 token-number-2 <redacted> <redacted>"
    )
    assert.throws(() => Scrubber.make({ capacity: 0 }), RangeError)
  })

  it("takes any secret and any text, in time that is linear in both", () => {
    const start = process.cpuUsage()
    const secrets = ["-".repeat(4_000), "/".repeat(16_000), "\"".repeat(8_000), "a".repeat(4_000), "%41".repeat(3_000)]
    const scrubber = knowing("s3cr3t-of-the-test", ...secrets)
    const texts = ["\\", "%", "%25", "&#0", "&#", "=", "=\n", "-", "a", "\\u", "QUFB", "61", "\ud800", "\n", "%c3"]
    for (const part of texts) scrubber.scrub(part.repeat(100_000 / part.length))
    for (const secret of secrets) assert.strictEqual(scrubber.scrub(`(${secret})`), "(<redacted>)")
    assert.isBelow(process.cpuUsage(start).user / 1_000, 20_000)
  })

  it("also searches secrets that end alike at every place of a text in linear time, and hides the text", () => {
    const start = process.cpuUsage()
    const prefixes = knowing(...Array.from({ length: 1_000 }, (_, i) => "a".repeat(8 + i)))
    for (const text of ["a".repeat(200_000), `${"a".repeat(600)}X`.repeat(300)]) {
      assert.notInclude(prefixes.scrub(text), "a".repeat(8))
    }
    const spellings = knowing(...Array.from({ length: 1_000 }, (_, i) => `${" ".repeat(i)}abcdefgh`))
    assert.notInclude(spellings.scrub("abcdefgh".repeat(20_000)), "abcdefgh")
    assert.isBelow(process.cpuUsage(start).user / 1_000, 10_000)
    // A text that short costs little.
    const line = `${"a".repeat(100)} is what was sent`
    assert.strictEqual(prefixes.scrub(line), `${Scrubber.placeholder} is what was sent`)
  })

  it("finds a secret in a shorter text, since not all of it is compared", () => {
    const id = "a1b2c3d4e5f67890abcdef1234567890"
    const spaced = knowing(id.replace(/.{4}/g, "$& "), "%41%42%43%44%45%46%47%48")
    for (const text of [id, btoa(id).replace("=", ""), hex(id), "ABCDEFGH"]) {
      assert.strictEqual(spaced.scrub(text), Scrubber.placeholder)
    }
    const dashed = knowing(id.replace(/.{8}/g, "$&-"))
    for (const text of [id, id.toUpperCase()]) assert.strictEqual(dashed.scrub(text), Scrubber.placeholder)
  })

  it("finds a secret in a text of many pieces, also across the border of two pieces", () => {
    const secret = "s3cr3t-of-the-test"
    const scrubber = knowing(secret)
    for (const at of [1_048_570, 1_048_576 - 131_072 - 5, 3_000_000]) {
      const text = `${" ".repeat(at)}${secret}${" ".repeat(4_000_000 - at)}`
      assert.strictEqual(scrubber.scrub(text).trim(), Scrubber.placeholder)
    }
  })

  it("spends no more on a scrub when 10,000 tokens have come and gone", () => {
    const scrubber = Scrubber.make()
    const text = "GET /tables/{table} returned 404 Not Found: 3f2a7b1c-0d9e-4b1a-8c7d-5e6f7a8b9c0d. ".repeat(200)
    const spent = () => {
      const start = process.cpuUsage()
      for (let i = 0; i < 50; i++) scrubber.scrub(text)
      const { system, user } = process.cpuUsage(start)
      return user + system
    }
    let now = 0
    const clock = { ...fixed(0), currentTimeMillisUnsafe: () => now }
    const comeAndGo = (n: number) => {
      for (let i = 0; i < n; i++) {
        now += 60_000
        scrubber.register(Redacted.make(`token-number-${i}-of-many`), { end: now + 60_000, clock })
      }
    }
    comeAndGo(500)
    spent()
    const before = Math.min(spent(), spent(), spent())
    comeAndGo(10_000)
    const after = Math.min(spent(), spent(), spent())
    assert.isBelow(after, before * 3)
  })

  it("ignores what is too short to be a secret", () => {
    assert.strictEqual(knowing("abc", "").scrub("abcdef"), "abcdef")
  })

  it("forgets first what was not registered again", () => {
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

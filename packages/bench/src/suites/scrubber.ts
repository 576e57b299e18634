import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Clock from "effect/Clock"
import * as Redacted from "effect/Redacted"
import type { Subject, Suite } from "../Suite.ts"

const clock: Clock.Clock = Clock.Clock.defaultValue()
const size = 1_048_576
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Always the same, but without a pattern.
let state = 14
const character = (): string => {
  state = Math.imul(state, 1_664_525) + 1_013_904_223 | 0
  return alphabet[state >>> 26] ?? "A"
}

const token = (length: number): string => Array.from({ length }, character).join("")

const secrets = Array.from({ length: 1_000 }, (_, i) => token(24 + i % 48))

const encodings: ReadonlyArray<(secret: string) => string> = [
  (secret) => secret,
  encodeURIComponent,
  (secret) => btoa(`user:${secret}`),
  (secret) => Buffer.from(secret).toString("hex"),
  (secret) => secret.toUpperCase()
]

// A log, as servers and proxies write it: each line holds one of the secrets, in one of the encodings.
const line = (i: number): string =>
  `${
    JSON.stringify({
      time: "2026-01-01T00:00:00.000Z",
      level: "warning",
      message:
        `request ${i} to "/api/v1/tables?status=200&page=${i}" got the response 401: "no such key", try again later. ${
          "The quick brown fox jumps over the lazy dog; the lazy dog does not respond in time, so the fox is gone. "
            .repeat(7)
        }`,
      requestId: "3f2a7b1c-0d9e-4b1a-8c7d-5e6f7a8b9c0d",
      key: encodings[i % encodings.length]?.(secrets[i % secrets.length] ?? "")
    })
  }\n`

const log = Array.from({ length: 1_200 }, (_, i) => line(i)).join("").slice(0, size)
const plain = "The quick brown fox jumps over the lazy dog; nothing of that is a secret. ".repeat(15_000).slice(0, size)

const knowing = (): Scrubber.Scrubber => {
  const scrubber = Scrubber.make()
  for (const secret of secrets) scrubber.register(Redacted.make(secret))
  return scrubber
}

const fresh = knowing()

let worn: Scrubber.Scrubber | undefined
const afterManyTokens = (): Scrubber.Scrubber => {
  if (worn !== undefined) return worn
  worn = knowing()
  for (let i = 0; i < 10_000; i++) worn.register(Redacted.make(token(64)), { end: 0, clock })
  return worn
}

const scrubs = (scrubber: () => Scrubber.Scrubber, text: string): Subject => (calls) => {
  for (let i = 0; i < calls; i++) scrubber().scrub(text)
  return Promise.resolve()
}

const subjects = (text: string) => ({
  "1,000 secrets": scrubs(() => fresh, text),
  "10,000 tokens later": scrubs(afterManyTokens, text)
})

const suite: Suite = {
  name: "scrubber",
  packages: [],
  cases: [
    {
      name: "1 MiB of log with 1,000 secrets in it",
      ours: "10,000 tokens later",
      subjects: subjects(log),
      batch: 1,
      nanosAtMost: 50_000_000,
      atMost: { "1,000 secrets": 1.1 }
    },
    {
      name: "1 MiB of prose without secrets",
      ours: "10,000 tokens later",
      subjects: subjects(plain),
      batch: 1,
      nanosAtMost: 50_000_000,
      atMost: { "1,000 secrets": 1.1 }
    },
    {
      name: "a request id",
      ours: "10,000 tokens later",
      subjects: subjects("3f2a7b1c-0d9e-4b1a-8c7d-5e6f7a8b9c0d"),
      atMost: { "1,000 secrets": 1.1 }
    }
  ]
}

export default suite

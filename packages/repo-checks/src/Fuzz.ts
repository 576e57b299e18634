/**
 * Fuzzing of what reads foreign bytes: a reader gives a result or a typed error, within a bound of time and memory. It never
 * dies, never hangs, and leaves the prototypes alone.
 *
 * `npm test` tries a hundred inputs with a fixed seed. `npm run fuzz` gives each reader some time and a new seed.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as fc from "fast-check"
import { it } from "vitest"

/** How long each reader is fuzzed, in seconds; none in `npm test`. */
const seconds = Number(process.env["FUZZ_SECONDS"] ?? 0)

/** Of processor time, so that a busy machine does not matter. Few inputs take a millisecond. */
const maxCpuMillis = 2_000
const maxMillis = 20_000
const maxHeapBytes = 256 * 1024 * 1024

const prototypes = [Object.prototype, Array.prototype, Function.prototype, String.prototype]
const keysOf = () => prototypes.map((prototype) => Reflect.ownKeys(prototype).map(String).join()).join("\n")

const parameters = (runs: number) =>
  seconds > 0
    ? { numRuns: 1_000_000_000, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false }
    : { numRuns: runs, seed: 21 }

interface Options {
  /** How many inputs `npm test` tries; default 100. */
  readonly runs?: number
}

/** A test of a reader: a function whose result is an effect, or that may not throw. */
export const fuzz = <A>(
  name: string,
  inputs: fc.Arbitrary<A>,
  read: (input: A) => unknown,
  { runs = 100 }: Options = {}
): void => {
  // oxlint-disable-next-line vitest/valid-title, vitest/expect-expect
  it(name, { timeout: (seconds + 120) * 1000 }, () => fc.assert(property(inputs, read), parameters(runs)))
}

const property = <A>(inputs: fc.Arbitrary<A>, read: (input: A) => unknown): fc.IAsyncProperty<[A]> =>
  fc.asyncProperty(inputs, async (input) => {
    const keys = keysOf()
    const heap = process.memoryUsage().heapUsed
    const cpu = process.cpuUsage()
    const result = read(input)
    if (Effect.isEffect(result)) await ended(result as Effect.Effect<unknown, unknown>)
    const { system, user } = process.cpuUsage(cpu)
    const millis = (system + user) / 1000
    if (millis > maxCpuMillis) throw new RangeError(`took ${Math.round(millis)} ms of processor time`)
    const grown = process.memoryUsage().heapUsed - heap
    if (grown > maxHeapBytes) throw new RangeError(`took ${Math.round(grown / 2 ** 20)} MiB`)
    if (keysOf() !== keys) throw new RangeError("changed a prototype")
  })

const ended = async (effect: Effect.Effect<unknown, unknown>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new RangeError(`still runs after ${maxMillis} ms`)), maxMillis)
  })
  try {
    const exit = await Promise.race([Effect.runPromiseExit(effect), hang])
    if (Exit.isFailure(exit) && !exit.cause.reasons.every(Cause.isFailReason)) {
      throw new RangeError(`is no typed error: ${Cause.pretty(exit.cause)}`)
    }
  } finally {
    clearTimeout(timer)
  }
}

// What readers get.

/** Text that is made of the tokens of a format, of repetitions that make slow readers slow, and of anything else. */
export const text = (...tokens: ReadonlyArray<string>): fc.Arbitrary<string> => {
  const token = fc.constantFrom(...tokens)
  const piece = fc.oneof(
    { weight: 6, arbitrary: token },
    { weight: 2, arbitrary: fc.string() },
    { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
    { weight: 1, arbitrary: fc.stringMatching(/^[\d.+\-eE:, ]{0,20}$/) },
    {
      weight: 1,
      arbitrary: fc.tuple(token, fc.integer({ min: 1, max: 4_000 })).map(([token, times]) => token.repeat(times))
    }
  )
  return fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join("").slice(0, 200_000))
}

/** The bytes of a text, perhaps cut or with other bytes between. */
export const bytes = (texts: fc.Arbitrary<string>): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    texts.map((text) => new TextEncoder().encode(text)),
    fc.tuple(texts, fc.uint8Array({ maxLength: 8 }), fc.nat()).map(([text, noise, at]) => {
      const whole = [...new TextEncoder().encode(text.slice(0, 10_000))]
      whole.splice(at % (whole.length + 1), noise.length, ...noise)
      return Uint8Array.from(whole)
    }),
    fc.uint8Array({ maxLength: 300 })
  )

const nasty = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "length", "then", ""]

const leaf: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<unknown>(null, true, -1, 0, 0.5, 1e308, "", "x", "Infinity", "1 second", [], {}, "a".repeat(10_000)),
  fc.constantFrom<unknown>(...nasty),
  fc.constantFrom(...nasty).map((key) => JSON.parse(`{${JSON.stringify(key)}:{"polluted":true}}`) as unknown)
)

/** JSON that is like one of the samples, but for some places. */
export const like = (...samples: readonly [unknown, ...Array<unknown>]): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 1, arbitrary: leaf },
    {
      weight: 8,
      arbitrary: fc.tuple(
        fc.constantFrom(...samples),
        fc.array(fc.tuple(fc.nat(), fc.constantFrom("replace", "drop", "rename", "add", "wrap"), fc.nat(), leaf), {
          maxLength: 4
        })
      ).map(([sample, changes]) =>
        changes.reduce(
          (json, [at, kind, which, value]) => change(json, at, kind, which, value),
          structuredClone(sample)
        )
      )
    }
  )

const define = (target: object, key: string, value: unknown): void => {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
}

/** Changes one place, which `at` chooses on the way down. */
const change = (json: unknown, at: number, kind: string, which: number, value: unknown): unknown => {
  if (typeof json !== "object" || json === null) return value
  const keys = Object.keys(json)
  const key = keys[at % Math.max(1, keys.length)]
  if (key === undefined) return value
  const inner = Reflect.get(json, key)
  if (at % 3 !== 0 && typeof inner === "object" && inner !== null) {
    define(json, key, change(inner, Math.floor(at / 3), kind, which, value))
    return json
  }
  const name = nasty[which % nasty.length] ?? "x"
  if (Array.isArray(json)) return kind === "drop" ? json.filter((_, i) => i !== Number(key)) : [...json, value]
  if (kind === "replace") define(json, key, value)
  else if (kind === "wrap") define(json, key, [inner])
  else if (kind === "add") define(json, name, value)
  else {
    Reflect.deleteProperty(json, key)
    if (kind === "rename") define(json, name, inner)
  }
  return json
}

/** JSON as text, whole or not. */
export const jsonText = (values: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 6, arbitrary: values.map((value) => JSON.stringify(value) ?? "null") },
    {
      weight: 2,
      arbitrary: fc.tuple(values, fc.nat()).map(([value, at]) => {
        const whole = JSON.stringify(value) ?? "null"
        return whole.slice(0, at % (whole.length + 1))
      })
    },
    { weight: 1, arbitrary: text("{", "}", "[", "]", "\"", ",", ":", "\\", "\\u0000", "null", "1e999", " ", "\n") }
  )

import type * as Duration from "effect/Duration"
import * as Latency from "../Latency.ts"

interface Options {
  readonly name?: string
  readonly direction?: "up" | "down" | "both"
  readonly probability?: number
  readonly from?: Duration.Input
  readonly for?: Duration.Input
  readonly every?: Duration.Input
  readonly times?: number
}

interface Faults<F> {
  readonly latency: (latency: Latency.Latency, options: Options) => F
  readonly bandwidth: (bytesPerSecond: number, options: Options) => F
  readonly silence: (options: Options) => F
  readonly hold: (options: Options) => F
  readonly reset: (options: Options & { readonly after?: number }) => F
  readonly end: (options: Options & { readonly after?: number }) => F
  readonly "half-open": (options: Options & { readonly lost?: "client" | "server" }) => F
  readonly "slow-close": (duration: Duration.Input, options: Options) => F
}

/** Reads `KIND ARGUMENTS CLAUSES`. Throws a `RangeError` that says what is wrong. */
export const read = <F>(words: ReadonlyArray<string>, faults: Faults<F>): F => {
  const left = [...words]
  const next = (what: string): string => {
    const word = left.shift()
    if (word === undefined || word === "") throw new RangeError(`${words.join(" ")} ends where ${what} was expected`)
    return word
  }
  const taken = (word: string): boolean => {
    if (left[0] !== word) return false
    left.shift()
    return true
  }
  const kind = next("a fault")
  /** The clauses of what strikes a connection as a whole. */
  const ofBoth = (): Options => {
    const options = clauses(left, next)
    const { direction = "both" } = options
    if (direction === "both") return options
    throw new RangeError(`${words.join(" ")}: it strikes both directions, leave ${direction} out`)
  }
  switch (kind) {
    case "latency": {
      const exponential = taken("exponential")
      return faults.latency(latency(next("a duration"), exponential), clauses(left, next))
    }
    case "bandwidth":
      return faults.bandwidth(number(next("a number of bytes")), clauses(left, next))
    case "silence":
    case "hold":
      return faults[kind](clauses(left, next))
    case "reset":
    case "end":
      return taken("after")
        ? faults[kind]({ after: number(next("a number of bytes")), ...clauses(left, next) })
        : faults[kind](ofBoth())
    case "half-open": {
      const lost = taken("client") ? "client" : (taken("server"), "server")
      return faults[kind]({ lost, ...ofBoth() })
    }
    case "slow-close":
      return faults[kind](duration(next("a duration")), clauses(left, next))
    default:
      throw new RangeError(`${kind} is no fault: there are ${Object.keys(faults).join(", ")}`)
  }
}

const clauses = (left: Array<string>, next: (what: string) => string): Options => {
  const options: { -readonly [K in keyof Options]: Options[K] } = {}
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    switch (word) {
      case "up":
      case "down":
      case "both":
        options.direction = word
        break
      case "from":
      case "for":
      case "every":
        options[word] = duration(next("a duration"))
        break
      case "times":
        options.times = number(next("a number"))
        break
      case "as":
        options.name = next("a name")
        break
      default: {
        const percent = /^(\d+(?:\.\d+)?)%$/.exec(word)?.[1]
        if (percent === undefined) {
          throw new RangeError(
            `${word} was not expected: a fault may say up, down, 20%, from 10s, for 30s, every 2m, times 3, as NAME`
          )
        }
        options.probability = Number(percent) / 100
      }
    }
  }
  return options
}

const latency = (text: string, exponential: boolean): Latency.Latency => {
  const [least = text, most] = text.split("..")
  if (exponential) return Latency.exponential(duration(text))
  return most === undefined ? Latency.constant(duration(text)) : Latency.uniform(duration(least), duration(most))
}

const units: Readonly<Record<string, Duration.Unit>> = { ms: "millis", s: "seconds", m: "minutes", h: "hours" }

/** `200ms`, `1.5s`, `2m`, `1h`. */
export const duration = (text: string): Duration.Input => {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? []
  const name = units[unit]
  if (name === undefined) throw new RangeError(`${text} is no duration: write 200ms, 10s, 2m or 1h`)
  return `${Number(amount)} ${name}`
}

const number = (text: string): number => {
  if (!/^\d+$/.test(text)) throw new RangeError(`${text} is no whole number`)
  return Number(text)
}

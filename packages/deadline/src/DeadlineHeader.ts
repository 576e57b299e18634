/**
 * Writes a deadline into headers, and reads it: as the remaining time, since the clocks of machines differ.
 *
 * **Details**
 *
 * Two forms are in use: `grpc-timeout`, up to eight digits and a unit (`H`, `M`, `S`, `m`, `u`, `n`; *gRPC over HTTP2*),
 * and plain milliseconds, by default under Envoy's name. `read` takes the shorter of the two; garbage reads as no deadline.
 *
 * **Example** (Both forms)
 *
 * ```ts import.meta.vitest
 * import { DeadlineHeader } from "@effect-resilience/deadline"
 * import { Duration } from "effect"
 *
 * DeadlineHeader.write(Duration.millis(1500))
 * // => { "grpc-timeout": "1500m", "x-envoy-expected-rq-timeout-ms": "1500" }
 * DeadlineHeader.read({ "grpc-timeout": "2S" }) // => Duration.seconds(2)
 * DeadlineHeader.read({ "grpc-timeout": "soon" }) // => undefined
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * The names of the two headers, in lower case.
 *
 * @category models
 * @since 0.1.0
 */
export interface Names {
  /** Of the header with a number and its unit, as in gRPC. */
  readonly grpc: string
  /** Of the header with plain milliseconds. */
  readonly millis: string
}

/**
 * `grpc-timeout`, and Envoy's `x-envoy-expected-rq-timeout-ms`.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultNames: Names = { grpc: "grpc-timeout", millis: "x-envoy-expected-rq-timeout-ms" }

/**
 * The headers for the remaining time; none for an infinite duration.
 *
 * @category writing
 * @since 0.1.0
 */
export const write = (left: Duration.Duration, names: Names = defaultNames): { readonly [name: string]: string } => {
  const millis = Math.max(0, Math.floor(Duration.toMillis(left)))
  return millis === Infinity ? {} : { [names.grpc]: formatGrpc(millis), [names.millis]: String(millis) }
}

/**
 * The remaining time that a request names. Header names are lower case, as in `effect/http/Headers`.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = (
  headers: { readonly [name: string]: string | undefined },
  names: Names = defaultNames
): Duration.Duration | undefined => {
  const grpc = parseGrpc(headers[names.grpc])
  const millis = parseMillis(headers[names.millis])
  if (grpc === undefined) return millis
  return millis === undefined ? grpc : Duration.min(grpc, millis)
}

const units: ReadonlyArray<readonly [unit: string, millis: number]> = [
  ["m", 1],
  ["S", 1_000],
  ["M", 60_000],
  ["H", 3_600_000]
]

// The finest unit whose value has at most eight digits, rounded down: a deadline must not grow in transit.
const formatGrpc = (millis: number): string => {
  for (const [unit, size] of units) {
    const value = Math.floor(millis / size)
    if (value < 100_000_000) return `${value}${unit}`
  }
  return "99999999H"
}

const parseGrpc = (value: string | undefined): Duration.Duration | undefined => {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(value?.trim() ?? "") ?? []
  const amount = Number(digits)
  switch (unit) {
    case "H":
      return Duration.hours(amount)
    case "M":
      return Duration.minutes(amount)
    case "S":
      return Duration.seconds(amount)
    case "m":
      return Duration.millis(amount)
    case "u":
      return Duration.micros(BigInt(amount))
    case "n":
      return Duration.nanos(BigInt(amount))
    default:
      return undefined
  }
}

const parseMillis = (value: string | undefined): Duration.Duration | undefined => {
  const text = value?.trim() ?? ""
  return /^\d{1,15}$/.test(text) ? Duration.millis(Number(text)) : undefined
}

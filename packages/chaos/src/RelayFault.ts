/**
 * Faults of a connection, for a `TcpRelay` and for the command `chaos-proxy`: as values, and as text.
 *
 * **Details**
 *
 * | fault | the connections that it strikes | as text |
 * | --- | --- | --- |
 * | `latency` | bytes arrive later | `latency 200ms`, `latency 100ms..300ms`, `latency exponential 200ms` |
 * | `bandwidth` | so many bytes a second pass | `bandwidth 10000` |
 * | `silence` | bytes vanish, the sockets stay open | `silence` |
 * | `hold` | bytes wait until the fault is off | `hold` |
 * | `reset`, `end` | are reset or end, at once or after so many bytes | `reset`, `end after 1000` |
 * | `halfOpen` | lose their server, or their client, and the other side does not hear of it | `half-open`, `half-open client` |
 * | `slowClose` | end later than their peer ended them | `slow-close 5s` |
 *
 * As text a fault may also say: `up` or `down`, its probability (`20%`), `from 10s`, `for 30s`, `every 2m`, `times 3`, and
 * its name (`as slow`). What strikes a connection at once strikes both directions.
 *
 * Its probability is that of a connection, decided once for each, from the relay's seed and the connection's number.
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { Options as FaultOptions } from "./Fault.ts"
import * as check from "./internal/check.ts"
import * as faultText from "./internal/faultText.ts"
import * as Latency from "./Latency.ts"
import * as When from "./When.ts"

/**
 * *up* is from the client to the server, *down* is back.
 *
 * @category models
 * @since 0.1.0
 */
export type Direction = "up" | "down" | "both"

/**
 * A connection through a relay: `index` is 0 for the first, `port` is the client's.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connected {
  readonly index: number
  readonly port: number
}

/**
 * What happens to the bytes of a direction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Condition {
  /** `pass` lets bytes through, `hold` keeps them until the condition changes, `silence` swallows them. */
  readonly mode: "pass" | "hold" | "silence"
  /** How long each piece is delayed; `undefined` is not at all. */
  readonly latency: Latency.Latency | undefined
  /** The bandwidth; `Infinity` is without a limit. */
  readonly bytesPerSecond: number
  /** The bytes after which the connection is cut; `Infinity` is never. */
  readonly cutAfter: number
  /** How it is cut: `end` in an orderly way (FIN), `reset` by breaking it (RST). */
  readonly cutBy: "end" | "reset"
  /** How long the relay waits before it passes on the end of a connection, in milliseconds. */
  readonly closeAfter: number
}

/**
 * A fault of connections. `at` is what happens to a connection in the moment when the fault strikes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface RelayFault {
  /** Identifies the fault in spans, logs and metrics. */
  readonly name: string
  /** What it does, in a word, such as `slow-close`. */
  readonly kind: string
  /** Which connections it strikes. */
  readonly when: When.When<Connected>
  /** Which direction it strikes. */
  readonly direction: Direction
  /** What it changes in that direction while it is in force. */
  readonly condition: Partial<Condition>
  readonly at: "end" | "reset" | "lose-client" | "lose-server" | undefined
}

/**
 * Which connections a fault strikes, and in which direction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends FaultOptions<Connected> {
  /** Default `"both"`. */
  readonly direction?: Direction | undefined
}

const make = (
  kind: string,
  options: Options,
  condition: Partial<Condition>,
  at: RelayFault["at"] = undefined
): RelayFault => {
  const { direction = "both", name = kind, ...when } = options
  When.plan(when)
  return { name, kind, when, direction, condition, at }
}

/**
 * Delays bytes. They stay in order.
 *
 * @category faults
 * @since 0.1.0
 */
export const latency = (latency: Latency.Input, options: Options = {}): RelayFault =>
  make("latency", options, { latency: Latency.fromInput(latency) })

/**
 * Passes so many bytes a second, in each direction.
 *
 * @category faults
 * @since 0.1.0
 */
export const bandwidth = (bytesPerSecond: number, options: Options = {}): RelayFault =>
  make("bandwidth", options, { bytesPerSecond: check.within("bytesPerSecond", bytesPerSecond, 1, Number.MAX_VALUE) })

/**
 * Swallows bytes, and the ends of connections. A connection that lost bytes stays silent.
 *
 * @category faults
 * @since 0.1.0
 */
export const silence = (options: Options = {}): RelayFault => make("silence", options, { mode: "silence" })

/**
 * Holds bytes back until the fault is off.
 *
 * @category faults
 * @since 0.1.0
 */
export const hold = (options: Options = {}): RelayFault => make("hold", options, { mode: "hold" })

/**
 * The same, for a fault that cuts connections.
 *
 * @category models
 * @since 0.1.0
 */
export interface CutOptions extends Options {
  /** The bytes of a direction after which a connection is cut; default at once. */
  readonly after?: number | undefined
}

const cut = (by: "end" | "reset", { after, ...options }: CutOptions): RelayFault =>
  after === undefined
    ? make(by, options, {}, by)
    : make(by, options, { cutAfter: check.whole("after", after, 0), cutBy: by })

/**
 * Resets connections (RST).
 *
 * @category faults
 * @since 0.1.0
 */
export const reset = (options: CutOptions = {}): RelayFault => cut("reset", options)

/**
 * Ends connections (FIN).
 *
 * @category faults
 * @since 0.1.0
 */
export const end = (options: CutOptions = {}): RelayFault => cut("end", options)

/**
 * Resets the connection with one side, and the other side does not hear of it: a machine without power, a firewall that
 * forgot the connection. `lost` is the side that is reset; default `"server"`.
 *
 * @category faults
 * @since 0.1.0
 */
export const halfOpen = (
  options: Omit<Options, "direction"> & { readonly lost?: "client" | "server" | undefined } = {}
): RelayFault => {
  const { lost = "server", ...rest } = options
  return make("half-open", rest, {}, `lose-${lost}`)
}

/**
 * Passes the end of a direction (FIN) on later.
 *
 * @category faults
 * @since 0.1.0
 */
export const slowClose = (duration: Duration.Input, options: Options = {}): RelayFault =>
  make("slow-close", options, { closeAfter: check.millis("duration", duration) })

/**
 * Reads a fault from its text, or says what is wrong with it.
 *
 * **Example**
 *
 * ```ts import.meta.vitest
 * import { RelayFault } from "@effect-resilience/chaos"
 * import { Result } from "effect"
 *
 * const read = RelayFault.parse("latency 100ms..300ms down 20% from 10s for 30s every 2m")
 * Result.getOrThrow(read).when // => { probability: 0.2, from: "10 seconds", for: "30 seconds", every: "2 minutes" }
 * RelayFault.parse("latencie 1s") // => Result.fail("latencie is no fault: there are latency, bandwidth, silence, hold, reset, end, half-open, slow-close")
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<RelayFault, string> => {
  const words = text.trim().split(/\s+/)
  try {
    return Result.succeed(faultText.read(words, {
      latency,
      bandwidth,
      silence,
      hold,
      reset,
      end,
      "half-open": halfOpen,
      "slow-close": slowClose
    }))
  } catch (error) {
    return Result.fail(error instanceof RangeError ? error.message : String(error))
  }
}

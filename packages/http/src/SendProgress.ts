/**
 * How far the request of the current attempt has come, which only its transport knows.
 *
 * **Why**
 *
 * An attempt that is cut off by a time limit has no error of its transport to read. Whether its request was still waiting
 * for a connection, or had left and may have been applied, decides whether it may be repeated.
 *
 * **When to use**
 *
 * Use in a transport of your own: `follow` the request before it is sent, and say with each look how far it came.
 * `Connections` of `@effect-resilience/node` does. `ErrorMapping` reads it; where no transport follows, it is careful.
 *
 * **Example** (A transport that reports)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping, SendProgress } from "@effect-resilience/http"
 * import { Effect } from "effect"
 * import { HttpClient } from "effect/http"
 *
 * const connecting = HttpClient.make(() =>
 *   Effect.flatMap(SendProgress.Current, (progress) => {
 *     progress?.follow({ reached: "nothing" })
 *     return Effect.never
 *   })
 * )
 * const client = ErrorMapping.mapErrors(connecting, { timeout: "1 millis" })
 *
 * const error = await Effect.runPromise(Effect.flip(client.post("https://api.example.com/orders")))
 * error.reason._tag // => "Timeout"
 * ```
 *
 * @since 0.1.0
 */
import * as Transport from "@effect-resilience/errors/Transport"
import * as Context from "effect/Context"

/**
 * A request on its way. `reached` is looked at whenever somebody wants to know.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  readonly reached: Transport.Reached
}

/**
 * The requests of one attempt, of which there may be several: a redirect that is followed, a retry of the transport's own.
 * The farthest of them counts.
 *
 * @category models
 * @since 0.1.0
 */
export class SendProgress {
  private current: Source | undefined = undefined
  private before: Transport.Reached | undefined = undefined

  /** Follows a request, before any of it is sent. */
  follow(source: Source): void {
    this.before = this.reached
    this.current = source
  }
  /** How far the attempt came; `undefined` where no transport says it. */
  get reached(): Transport.Reached | undefined {
    const { before, current } = this
    if (current === undefined) return before
    return before !== undefined && Transport.isAtLeast(before, current.reached) ? before : current.reached
  }
}

/**
 * The progress of the current attempt, where somebody wants to know.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<SendProgress | undefined> = Context.Reference<SendProgress | undefined>(
  "@effect-resilience/http/SendProgress/Current",
  { defaultValue: () => undefined }
)

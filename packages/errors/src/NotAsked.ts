/**
 * Marks the errors of work that never began.
 *
 * **Why**
 *
 * A full bulkhead, a deadline that has passed, a rejected login, a file that cannot be read: the dependency did not cause
 * them. A circuit breaker that counts them opens although the server is healthy, and a probe that ends in one shows nothing.
 * Therefore such errors have a mark, which code that judges a dependency reads first.
 *
 * **Details**
 *
 * An error is *not asked* if its attempt sent the dependency nothing that it could have applied, for a reason on this
 * side. A refused connection is the dependency's failure, and so is a timeout.
 *
 * The mark is a property, not a class, so an error can decide for each instance. An error with a `Recovery` and no mark was
 * asked. `isNotAsked` also knows these errors of Effect and Node:
 *
 * | error | not asked |
 * | --- | --- |
 * | `HttpClientError`, `RpcClientError`, `GraphQLClientError`, `AiError` | a cause that says so, a request that could not be encoded, an invalid URL |
 * | `PlatformError` | always: it is about this machine |
 * | `RateLimiterError`, `CircuitBreakerError`, `ExceededCapacityError` | always: the effect did not run |
 * | `UnknownError`, of `Effect.tryPromise` | as its cause |
 * | a system error in the chain of causes | out of handles (`EMFILE`), and files that cannot be read |
 *
 * **Gotchas**
 *
 * The mark is about the error's own attempt. An earlier attempt of the same call may have been applied.
 *
 * **Example** (Marking an error)
 *
 * ```ts import.meta.vitest
 * import { NotAsked } from "@effect-resilience/errors"
 * import { Data } from "effect"
 *
 * class Draining extends Data.TaggedError("Draining") {
 *   get [NotAsked.symbol](): boolean {
 *     return true
 *   }
 * }
 *
 * NotAsked.isNotAsked(new Draining()) // => true
 * NotAsked.isNotAsked(Object.assign(new Error("open"), { code: "EMFILE" })) // => true
 * NotAsked.isNotAsked(Object.assign(new Error("connect"), { code: "ECONNREFUSED" })) // => false
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import { isLocalError } from "./internal/local.ts"
import { property } from "./internal/property.ts"
import * as Recovery from "./Recovery.ts"

/**
 * The key of the mark.
 *
 * @category symbols
 * @since 0.1.0
 */
export const symbol: "~@effect-resilience/errors/NotAsked" = "~@effect-resilience/errors/NotAsked"

/**
 * An error that says whether its work never began.
 *
 * @category models
 * @since 0.1.0
 */
export interface NotAsked {
  readonly [symbol]: boolean
}

/**
 * True for an error of work that never began.
 *
 * @category guards
 * @since 0.1.0
 */
export const isNotAsked = (error: unknown): boolean => {
  if (!Predicate.isObject(error)) return false
  if (Predicate.hasProperty(error, symbol)) return error[symbol] === true
  // Such an error has the mark if it is not asked. Its `code` may come from a server.
  if (Recovery.isRecoverable(error)) return false
  switch (property(error, "_tag")) {
    case "PlatformError":
    case "RateLimiterError":
    case "CircuitBreakerError":
    case "ExceededCapacityError":
      return true
    case "UnknownError":
      return isNotAsked(property(error, "cause"))
    default:
      return isMarkedWithin(error) ?? (isUnsent(property(error, "reason")) || isLocalError(error))
  }
}

// The error of a client of ours, in one of Effect's.
const isMarkedWithin = (error: object): boolean | undefined => {
  let current: unknown = error
  for (let depth = 0; depth < 8 && Predicate.isObject(current); depth++) {
    if (Predicate.hasProperty(current, symbol)) return current[symbol] === true
    if (Recovery.isRecoverable(current)) return false
    current = property(current, "reason") ?? property(current, "cause")
  }
  return undefined
}

// Effect's clients pass on the kind of an `HttpClient`'s reason, each in its own way.
const isUnsent = (reason: unknown): boolean =>
  property(reason, "_tag") === "NetworkError"
    ? isKind(property(reason, "reason"))
    : isKind(property(reason, "kind")) || isKind(property(reason, "_tag"))

const isKind = (kind: unknown): boolean => kind === "EncodeError" || kind === "InvalidUrlError"

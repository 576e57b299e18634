/**
 * What an error says, for people: its own message, or that of the cause at the bottom.
 *
 * **Example** (A store that says why in its cause)
 *
 * ```ts import.meta.vitest
 * import { ErrorMessage } from "@effect-resilience/kernel"
 *
 * const error = new Error("failed to execute statement", { cause: new Error("database or disk is full") })
 * ErrorMessage.textOf(error) // => "failed to execute statement"
 * ErrorMessage.innermostOf(error) // => "database or disk is full"
 * ErrorMessage.textOf("a text") // => "a text"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Predicate from "effect/Predicate"

/**
 * `Data.TaggedError` whose errors have their message also where they are printed as objects: by `console.log`, by Effect's loggers, and
 * as JSON. There, a message that a getter makes is left out otherwise. `instanceof` knows them where another copy of the package made
 * them.
 *
 * **Example** (An error in a log)
 *
 * ```ts import.meta.vitest
 * import { ErrorMessage } from "@effect-resilience/kernel"
 *
 * class Full extends ErrorMessage.TaggedError("Full")<{ readonly permits: number }> {
 *   override get message(): string {
 *     return `All ${this.permits} permits are taken`
 *   }
 * }
 * JSON.stringify(new Full({ permits: 3 })) // => `{"message":"All 3 permits are taken","permits":3,"_tag":"Full"}`
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const TaggedError: typeof Data.TaggedError = (tag) => {
  const made = Data.TaggedError(tag)
  const { toJSON } = made.prototype
  Object.defineProperty(made.prototype, "toJSON", {
    value(this: Error): object {
      return { message: this.message, ...toJSON.call(this) }
    }
  })
  return acrossCopies(made, tag)
}

/**
 * Lets `instanceof` know errors that another copy of a package made. A program has two copies if two of its dependencies want different
 * versions. It applies to the classes that extend `base` directly; a class that extends one of those has only its own instances.
 *
 * **Example** (A class that another copy of the module makes too)
 *
 * ```ts import.meta.vitest
 * import { ErrorMessage } from "@effect-resilience/kernel"
 *
 * const copy = () => class Full extends ErrorMessage.acrossCopies(class extends Error {}, "Full") {}
 * const [One, Other] = [copy(), copy()]
 * class Special extends One {}
 *
 * const error = new Other()
 * const known = [error instanceof One, error instanceof Special, new Error() instanceof One]
 * known // => [true, false, false]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const acrossCopies = <C extends { readonly prototype: object }>(base: C, tag: string): C => {
  const brand = `~@effect-resilience/${tag}`
  Object.defineProperty(base.prototype, brand, { value: true })
  return Object.defineProperty(base, Symbol.hasInstance, {
    value(this: typeof Error, u: unknown): boolean {
      return Object.getPrototypeOf(this) === base
        ? Predicate.hasProperty(u, brand)
        : Function.prototype[Symbol.hasInstance].call(this, u)
    }
  })
}

/**
 * The `message` of a value that has a text for one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const messageOf = (u: unknown): string | undefined =>
  Predicate.hasProperty(u, "message") && typeof u.message === "string" ? u.message : undefined

/**
 * The message of an error, or the value itself as text. A value that cannot be made one, such as an object without a prototype, is
 * `[object Object]`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const textOf = (error: unknown): string => messageOf(error) ?? plain(error)

const plain = (value: unknown): string => {
  try {
    return String(value)
  } catch {
    return Object.prototype.toString.call(value)
  }
}

/**
 * The message that lies deepest under `cause` and `reason`, down to the eighth level. Clients say at the top only that
 * something failed.
 *
 * @category accessors
 * @since 0.1.0
 */
export const innermostOf = (error: unknown): string | undefined => {
  let message: string | undefined
  let current = error
  for (let depth = 0; depth < 8 && Predicate.isObject(current); depth++, current = causeOf(current)) {
    message = messageOf(current) ?? message
  }
  return message
}

const causeOf = (error: object): unknown =>
  Predicate.hasProperty(error, "cause") && error.cause !== undefined
    ? error.cause
    : Predicate.hasProperty(error, "reason")
    ? error.reason
    : undefined

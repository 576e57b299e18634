import * as Field from "@effect-resilience/kernel/Field"
import type { Discipline } from "../internal/waitQueue.ts"

/**
 * Last in, first out: under an overload the newest calls are served at once, and the oldest, whose callers give up first, are not.
 * Where the queue is full, the oldest gives way.
 *
 * **Gotchas**
 *
 * Give it a `queueTimeout`: the oldest may wait for ever.
 *
 * @category disciplines
 * @since 0.1.0
 */
export const lifo: Field.Variant<"lifo", {} | undefined, Discipline> = /* @__PURE__ */ Field.variant(
  "QueueDiscipline",
  "lifo",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct({}), {}),
    (): Discipline => ({ newestFirst: () => true, until: () => Infinity })
  )
)

import * as Field from "@effect-resilience/kernel/Field"
import type { Discipline } from "../internal/waitQueue.ts"

/**
 * First in, first out: the fair order, and the right one while the queue is short. Under an overload that lasts, every call
 * waits as long as the queue is, and many are served when their callers have left.
 *
 * @category disciplines
 * @since 0.1.0
 */
export const fifo: Field.Variant<"fifo", {} | undefined, Discipline> = /* @__PURE__ */ Field.variant(
  "QueueDiscipline",
  "fifo",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct({}), {}),
    (): Discipline => ({ newestFirst: () => false, until: () => Infinity })
  )
)

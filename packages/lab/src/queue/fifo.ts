import * as Field from "@effect-resilience/kernel/Field"
import type { Discipline } from "../internal/server.ts"

/** The oldest comes next. */
export const fifo: Field.Variant<"fifo", {} | undefined, Discipline> = /* @__PURE__ */ Field.variant(
  "Lab",
  "fifo",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct({}), {}),
    (): Discipline => () => ({ take: (queue) => queue.first() })
  )
)

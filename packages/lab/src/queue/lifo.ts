import * as Field from "@effect-resilience/kernel/Field"
import type { Discipline } from "../internal/server.ts"

/** The newest comes next: its caller is the one that most likely still waits. */
export const lifo: Field.Variant<"lifo", {} | undefined, Discipline> = /* @__PURE__ */ Field.variant(
  "Lab",
  "lifo",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct({}), {}),
    (): Discipline => () => ({ take: (queue) => queue.last() })
  )
)

import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import * as disciplines from "../queue/index.ts"
import type { QueueDiscipline } from "../QueueDiscipline.ts"
import type { Waits } from "./waitQueue.ts"

/** How calls wait for a permit. */
export interface Options {
  readonly queue?: number | undefined
  readonly queueTimeout?: Duration.Input | undefined
  readonly discipline?: QueueDiscipline | undefined
  readonly priorities?: ReadonlyArray<string> | undefined
}

const priorities: Field.Field<Options["priorities"], ReadonlyArray<string>> = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.oneOrMore(Field.text)),
  (names = []) => names
)

/** The options as data. */
export const fields = {
  queue: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0, infinite: true }), 0),
  queueTimeout: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.duration()),
  discipline: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.variants(disciplines), "fifo"),
  priorities
} satisfies Field.Fields<Options>

/** What a queue works with. */
export const waitsOf = ({ discipline, priorities, queue, queueTimeout }: Field.Settings<typeof fields>): Waits => ({
  queue,
  queueTimeoutMillis: queueTimeout === undefined ? Infinity : Duration.toMillis(queueTimeout),
  discipline,
  priorities,
  deadline: Deadline.Current
})

import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Discipline } from "../internal/waitQueue.ts"

interface Options {
  readonly target?: Duration.Input | undefined
  readonly interval?: Duration.Input | undefined
}

const fields = {
  target: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ above: 0 }), "5 millis"),
  interval: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ above: 0 }), "100 millis")
} satisfies Field.Fields<Options>

/**
 * Controlled delay with adaptive LIFO: first in, first out while the queue is empty now and then. Once it has not been for an
 * `interval`, the newest goes first, and no call waits longer than `target`. Until then a call may wait for an `interval`.
 *
 * - `target`: how long a call waits at most while the queue stands; default 5 millis.
 * - `interval`: how long a queue may stand; default 100 millis.
 *
 * The rule and its values are those of Facebook (*Fail at Scale*, ACM Queue 13(8), 2015), where they suit many services. Where a
 * permit comes free less than once in `target`, make that longer: the queue is empty when the permit comes.
 *
 * @category disciplines
 * @since 0.1.0
 */
export const codel: Field.Variant<"codel", Options | undefined, Discipline> = /* @__PURE__ */ Field.variant(
  "QueueDiscipline",
  "codel",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
    (settings): Discipline => {
      const target = Duration.toMillis(settings.target)
      const interval = Duration.toMillis(settings.interval)
      return {
        newestFirst: (now, standsSince) => now - standsSince > interval,
        until: (since, standsSince) => Math.max(since + target, standsSince + interval)
      }
    }
  )
)

import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Discipline } from "../internal/server.ts"

interface Options {
  readonly target?: Duration.Input | undefined
  readonly interval?: Duration.Input | undefined
}

const time = /* @__PURE__ */ Field.duration({ above: 0, finite: true })

const fields = {
  target: /* @__PURE__ */ Field.withDefault(time, "5 millis"),
  interval: /* @__PURE__ */ Field.withDefault(time, "100 millis")
} satisfies Field.Fields<Options>

/**
 * Controlled delay as Facebook runs it (_Fail at Scale_, 2015): where the queue has not been empty for the last `interval`, requests
 * that have waited longer than `target` are rejected, and the newest comes next; otherwise only those that have waited longer than
 * `interval` are, and the oldest comes next.
 *
 * - `target`: how long a request may wait while the queue is never empty; default 5 milliseconds.
 * - `interval`: how long one may wait otherwise; default 100 milliseconds.
 */
export const controlledDelay: Field.Variant<"controlledDelay", Options | undefined, Discipline> = /* @__PURE__ */ Field
  .variant(
    "Lab",
    "controlledDelay",
    /* @__PURE__ */ Field.map(
      /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
      (settings): Discipline => () => {
        const interval = Duration.toMillis(settings.interval)
        const target = Duration.toMillis(settings.target)
        let limit = interval
        return {
          take: (queue, now) => {
            const overloaded = now - queue.since > interval
            limit = overloaded ? target : interval
            return overloaded ? queue.last() : queue.first()
          },
          rejects: (waited) => waited > limit
        }
      }
    )
  )

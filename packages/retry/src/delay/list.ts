import * as Field from "@effect-resilience/kernel/Field"
import type * as Duration from "effect/Duration"
import type { Draw } from "../internal/delays.ts"
import { millisOf } from "../internal/delays.ts"
import type { Jitter } from "../internal/jitterField.ts"
import { jitterField } from "../internal/jitterField.ts"
import { none } from "../jitter/none.ts"

interface Options {
  readonly delays: ReadonlyArray<Duration.Input>
  readonly jitter?: Jitter | undefined
}

const delays: Field.Field<ReadonlyArray<Duration.Input>, ReadonlyArray<Duration.Duration>> = /* @__PURE__ */ Field
  .oneOrMore(/* @__PURE__ */ Field.duration({ finite: true }))

const fields = { delays, jitter: /* @__PURE__ */ jitterField("none") } satisfies Field.Fields<Options>

const field: Field.Field<ReadonlyArray<Duration.Input> | Options, Draw> = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.either(
    (value) => !Field.isDuration(value),
    /* @__PURE__ */ Field.struct(fields),
    /* @__PURE__ */ Field.map(delays, (delays, path) => ({ delays, jitter: none.read(undefined, path) }))
  ),
  ({ delays, jitter }, path) => {
    const millis = delays.map(millisOf)
    const at = (retries: number) => millis[Math.min(retries, millis.length - 1)] ?? 0
    return jitter({ base: at(0), cap: Math.max(...millis), factor: undefined, at }, path)
  }
)

/**
 * The delays one by one, and the last one from then on: `list(["100 millis", "1 second"])`, or with a jitter
 * `list({ delays: ["100 millis", "1 second"], jitter: 0.2 })`. How many retries there are is a matter of `times`.
 *
 * - `delays`: the delays in their order, at least one.
 * - `jitter`: default `"none"`. `"decorrelated"` is for exponential delays.
 *
 * @category delays
 * @since 0.1.0
 */
export const list: Field.Variant<"list", ReadonlyArray<Duration.Input> | Options, Draw> = /* @__PURE__ */ Field
  .variant("Backoff", "list", field)

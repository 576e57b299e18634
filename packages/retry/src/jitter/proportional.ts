import * as Field from "@effect-resilience/kernel/Field"
import type { Jitter } from "../internal/delays.ts"
import { grown } from "../internal/delays.ts"

/** Uniform in the delay less and plus a share of it; the only one that may pass the cap. Source: gRPC A6, with 0.2. */
export const proportional: Field.Field<number, Jitter> = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.number({ min: 0, max: 1 }),
  (share) => (growth) => (position, random) => grown(growth, position) * (1 - share + random() * 2 * share)
)

/** What a client does where its description says nothing, with the source of each value. */
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"

const { attemptTimeout, deadline, ...policies } = Pipeline.standard

/** The policies of `Pipeline.standard`, but for its limits of time. */
export const pipeline = policies

/**
 * - `total`, `attempt`: those of `Pipeline.standard`, from Microsoft's standard handler.
 * - `connect`: that of undici, and of this repository's `Connections`.
 * - `firstByte`: none of its own; `attempt` bounds it.
 * - `idle`: between two pieces of a body; that of `Connections`. nginx has the same (`proxy_read_timeout`).
 */
export const timeouts = {
  total: deadline,
  attempt: attemptTimeout,
  connect: "10 seconds",
  idle: "1 minute"
} as const

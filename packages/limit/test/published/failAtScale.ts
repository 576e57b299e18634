import type { QueueDiscipline } from "@effect-resilience/limit"

/**
 * Ben Maurer, *Fail at Scale*, ACM Queue 13(8), 2015, https://queue.acm.org/detail.cfm?id=2839461. The values are those of
 * `codel_target_delay` and `codel_interval` in folly, commit 1ad98e214ca4ddfd2479ef9df7455df88485ef1e,
 * https://github.com/facebook/folly/blob/main/folly/executors/Codel.cpp
 */
export const controlledDelay = { targetMillis: 5, intervalMillis: 100 }

/** The shares of the capacity that are useful at three times the load: ours. */
export const queues: Record<
  string,
  { readonly discipline: QueueDiscipline.QueueDiscipline; readonly atLeast: number }
> = {
  fifo: { discipline: "fifo", atLeast: 0.2 },
  lifo: { discipline: "lifo", atLeast: 0.95 },
  codel: { discipline: "codel", atLeast: 0.95 }
}

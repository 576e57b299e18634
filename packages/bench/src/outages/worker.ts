// One of the threads that run cells. It takes what to run from `workerData` and sends the runs back.
import * as Lab from "@effect-resilience/lab/Lab"
import { parentPort, workerData } from "node:worker_threads"
import * as Matrix from "./Matrix.ts"
import type { Task } from "./Task.ts"

const tasks: ReadonlyArray<Task> = workerData

for (const { cell, key, policy, seed } of tasks) {
  const result = Lab.simulate({ ...Matrix.world(cell, seed), policy })
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage({ key, run: Matrix.read(result, cell) })
}

// A thread of `SweepThreads`: it takes one cell after the other and sends their rows back.
import { parentPort } from "node:worker_threads"
import type { Cell } from "../Sweep.ts"
import { runCell } from "../Sweep.ts"

parentPort?.on("message", (text: string) => {
  const cell: Cell = JSON.parse(text)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(runCell(cell))
})

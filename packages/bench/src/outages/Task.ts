import type * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Effect from "effect/Effect"
import { Worker } from "node:worker_threads"
import type { Cell, Run } from "./Matrix.ts"

/** A policy in a cell, with one seed. */
export interface Task {
  readonly key: string
  readonly cell: Cell
  readonly seed: number
  readonly policy: Pipeline.Description | undefined
}

interface Done {
  readonly key: string
  readonly run: Run
}

/** Runs tasks on so many threads. */
export const runAll = (
  tasks: ReadonlyArray<Task>,
  threads: number
): Effect.Effect<ReadonlyMap<string, ReadonlyArray<Run>>, Error> =>
  Effect.map(
    // Each thread takes every so many-th task, since neighbours cost about the same.
    Effect.forEach(
      Array.from({ length: threads }, (_, thread) => tasks.filter((_, index) => index % threads === thread)),
      onThread,
      { concurrency: "unbounded" }
    ),
    (done) => {
      const runs = new Map<string, Array<Run>>()
      for (const { key, run } of done.flat()) runs.set(key, [...(runs.get(key) ?? []), run])
      return runs
    }
  )

const onThread = (tasks: ReadonlyArray<Task>): Effect.Effect<ReadonlyArray<Done>, Error> =>
  Effect.callback((resume) => {
    const done: Array<Done> = []
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: tasks })
    worker.on("message", (message: Done) => done.push(message))
    worker.on("error", (error) => resume(Effect.fail(error instanceof Error ? error : new Error(String(error)))))
    worker.on("exit", () => resume(Effect.succeed(done)))
    return Effect.promise(() => worker.terminate())
  })

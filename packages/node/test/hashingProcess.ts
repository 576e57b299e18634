import * as HashingThreads from "@effect-resilience/node/HashingThreads"
import { Hashing } from "@effect-resilience/upload"
import { Effect, ManagedRuntime } from "effect"

const runtime = ManagedRuntime.make(HashingThreads.layer({ threads: 2, smallest: 0 }))

const mebibytes = Number(process.argv[2])

const start = Effect.flatMap(
  Hashing.Current,
  (hashing) => hashing.start(["md5", "sha256"], { size: mebibytes * 1_048_576 })
)

const program = Effect.gen(function*() {
  yield* Effect.scoped(Effect.flatMap(start, (hasher) => hasher.update(new Uint8Array(1))))
  const hasher = yield* start
  const chunk = new Uint8Array(3_145_728)
  for (let left = mebibytes * 1_048_576; left > 0; left -= chunk.length) yield* hasher.update(chunk.subarray(0, left))
  const threads = process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length
  const { md5 } = yield* hasher.digest
  return { md5, threads, megabytes: process.resourceUsage().maxRSS / 1024 }
})

void runtime.runPromise(Effect.scoped(program)).then((found) => console.log(JSON.stringify(found)))

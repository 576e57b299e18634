import { Journal, Uploader, UploadPlan, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as v8 from "node:v8"
import * as vm from "node:vm"

v8.setFlagsFromString("--expose_gc")
const collect: (options: { readonly type: "minor" }) => void = vm.runInNewContext("gc")

const oldBytes = () =>
  v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space")?.space_used_size ?? NaN

const target: UploadTarget.UploadTarget<number, string> = {
  method: "PUT",
  operation: () => ({ name: "put", endpoint: "/notes/{name}" }),
  source: (n) => UploadSource.bytes(`${n}.txt`, "text"),
  key: undefined,
  digests: ["md5"],
  send: () => Effect.as(Effect.yieldNow, { receipt: "stored" })
}

// V8 puts two kinds of objects into the old generation at once: the map of each generator function that is called, and
// functions that are assigned to a property, as each `Channel` has one. There they are garbage, but what they see, which was
// the whole upload, is not collected before the next full collection. That took a sixth of the time of small uploads.
it.live("an upload leaves next to nothing to the old generation", () =>
  Effect.gen(function*() {
    const uploads = 200
    const upload = (n: number) => UploadPlan.uploadOnce(target, n)
    const growths: Array<number> = []
    for (let round = 0; round < 12; round++) {
      const before = oldBytes()
      yield* Effect.forEach(
        Array.from({ length: uploads }, (_, i) => i),
        (n) => Effect.andThen(Uploader.upload(target, n), upload(n)),
        { concurrency: 8, discard: true }
      )
      // What survives two of these is moved to the old generation.
      collect({ type: "minor" })
      collect({ type: "minor" })
      growths.push((oldBytes() - before) / uploads)
    }
    // The first rounds compile, and any may meet a full collection.
    const median = growths.slice(4).sort((a, b) => a - b)[4] ?? NaN
    assert.isBelow(median, 500)
  }).pipe(Effect.provide(Journal.layerMemory)))

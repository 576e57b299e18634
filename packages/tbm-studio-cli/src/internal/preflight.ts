import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Preflight from "@effect-resilience/upload/Preflight"
import type * as UploadError from "@effect-resilience/upload/UploadError"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { linesOf } from "./commandOutput.ts"
import type * as LiveRegion from "./liveRegion.ts"
import { clip } from "./textWidth.ts"

/** Files of a batch are invalid. Each line of the message names a file and its line. */
export class InvalidFiles extends Data.TaggedError("InvalidFiles")<{ readonly problems: ReadonlyArray<string> }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  get lines(): ReadonlyArray<string> {
    return [...this.problems, "Nothing was sent. Correct the files, or send them as they are with --no-preflight."]
  }
  override get message(): string {
    return this.lines.join("\n")
  }
}

/** Reads all files, and fails with all problems. */
export const check = Effect.fnUntraced(function*(files: ReadonlyArray<string>, region: LiveRegion.LiveRegion) {
  const distinct = [...new Set(files)]
  const problems: Array<string> = []
  yield* Effect.gen(function*() {
    for (let done = 0; done < distinct.length; done += filesBetweenPauses) {
      yield* region.draw(({ columns }) => [clip(`Checking files: ${done} of ${distinct.length}`, columns - 1)])
      // Small files may be read synchronously, but signals need a pause.
      yield* Effect.yieldNow
      const found = yield* Effect.forEach(distinct.slice(done, done + filesBetweenPauses), problemsOf, {
        concurrency: filesAtOnce
      })
      problems.push(...found.flat())
    }
  }).pipe(region.clearAfter)
  if (problems.length > 0) return yield* new InvalidFiles({ problems })
})

const filesAtOnce = 8
const filesBetweenPauses = 128

const problemsOf = (file: string): Effect.Effect<ReadonlyArray<string>, never, FileSystem.FileSystem> => {
  const source = UploadSource.file(file, { name: file })
  const reading: Effect.Effect<unknown, Preflight.InvalidFile | UploadError.UploadError, FileSystem.FileSystem> =
    /\.[ct]sv(\.gz)?$/i.test(file)
      ? Preflight.csv(source)
      // Of other formats, only check that the file can be read.
      : Effect.flatMap(source.open, ({ bytes }) => Stream.runHead(bytes({ offset: 0, length: 1 })))
  return Effect.match(reading, { onFailure: linesOf, onSuccess: () => [] })
}

import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Hashing from "../Hashing.ts"
import type * as Journal from "../Journal.ts"
import type * as UploadSource from "../UploadSource.ts"
import type { Content } from "./placePlan.ts"
import { whenFree } from "./unreadable.ts"

const contentOf = (
  { replayable }: UploadSource.UploadSource<unknown>,
  { bytes, size, version }: UploadSource.Opened
): Effect.Effect<Content> => {
  const unhashed: Content = { version, bytes: size, md5: undefined, gone: false }
  if (!replayable) return Effect.succeed(unhashed)
  return Effect.gen(function*() {
    const hasher = yield* (yield* Hashing.Current).start(["md5"], { size })
    yield* Stream.runForEach(bytes(), (chunk) => hasher.update(chunk))
    return { ...unhashed, md5: (yield* hasher.digest).md5 }
  }).pipe(
    Effect.scoped,
    // Opening a source without a version does not look at it, so it may be gone too.
    Effect.orElseSucceed(() => ({ ...unhashed, gone: version === undefined }))
  )
}

/** The content of a source; its md5 only where it can be read again. */
export const hash = <R>(source: UploadSource.UploadSource<R>): Effect.Effect<Content, never, R> =>
  Effect.matchEffect(whenFree(source.open), {
    onFailure: () => Effect.succeed(gone),
    onSuccess: (opened) => contentOf(source, opened)
  })

/**
 * The contents of a place's sources, as far as they are needed to find their entries. A source is read only where neither its
 * version nor its size decides.
 */
export const ofSources = <R>(
  sources: ReadonlyArray<UploadSource.UploadSource<R>>,
  history: ReadonlyArray<Journal.Entry>
): Effect.Effect<ReadonlyArray<Content>, never, R> => {
  const md5s = new Map<string, string>()
  for (const { md5, version } of history) if (version !== undefined && md5 !== undefined) md5s.set(version, md5)
  const hashed = history.filter(({ md5 }) => md5 !== undefined)
  const inspect = (source: UploadSource.UploadSource<R>) =>
    Effect.matchEffect(whenFree(source.open), {
      onFailure: () => Effect.succeed(gone),
      onSuccess: (opened) => {
        const { size, version } = opened
        const md5 = version === undefined ? undefined : md5s.get(version)
        if (md5 !== undefined) return Effect.succeed({ version, bytes: size, md5, gone: false })
        const mayBeOne = hashed.some(({ bytes }) => bytes === undefined || size === undefined || bytes === size)
        return mayBeOne
          ? contentOf(source, opened)
          : Effect.succeed({ version, bytes: size, md5: undefined, gone: false })
      }
    })
  // A fiber for each source would cost more than looking at a local file.
  if (sources.length <= 32) return Effect.forEach(sources, inspect)
  return Effect.map(
    Effect.forEach(Arr.chunksOf(sources, 32), Effect.forEach(inspect), { concurrency: 32 }),
    Arr.flatten
  )
}

// Uploaded files are often removed afterwards.
const gone: Content = { version: undefined, bytes: undefined, md5: undefined, gone: true }

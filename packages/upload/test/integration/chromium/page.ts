/** What runs in Chromium. It sends its results to the server that it came from. */
import { ErrorMapping } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { HttpTarget, TusTarget, Uploader, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { Effect, Exit, Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { target } from "../../Forms.ts"

const origin = location.origin
const MiB = 1_048_576
const policy = RetryPolicy.make({ times: 3, backoff: Backoff.constant("10 millis") })

/** A file on the disk, of bytes that repeat only after each 251 of them. */
const onDisk = async (name: string, mebibytes: number): Promise<{ file: File; handle: FileSystemFileHandle }> => {
  const directory = await navigator.storage.getDirectory()
  const handle = await directory.getFileHandle(name, { create: true })
  const writable = await handle.createWritable()
  const pattern = Uint8Array.from({ length: 251 * 4_096 }, (_, i) => i % 251)
  let left = mebibytes * MiB
  while (left > 0) {
    const piece = pattern.subarray(0, Math.min(left, pattern.length))
    await writable.write(piece)
    left -= piece.length
  }
  await writable.close()
  return { file: await handle.getFile(), handle }
}

const put = (path: string) =>
  Effect.map(HttpClient.HttpClient, (client) =>
    HttpTarget.make({
      client: ErrorMapping.mapErrors(client, {}),
      method: "PUT",
      endpoint: "/{name}",
      url: () => `${origin}${path}`,
      source: (source: UploadSource.UploadSource) => source,
      digests: ["md5"],
      stored: HttpTarget.etagMd5
    }))

const summary = <R>(
  to: UploadTarget.UploadTarget<UploadSource.UploadSource, R, unknown>,
  source: UploadSource.UploadSource,
  options: { readonly digests?: ReadonlyArray<"md5"> } = {}
) =>
  Effect.gen(function*() {
    const events: Array<string> = []
    const exit = yield* Effect.exit(
      Uploader.upload(to as UploadTarget.UploadTarget<UploadSource.UploadSource, R, never>, source, {
        policy,
        ...options,
        onEvent: (event) => Effect.sync(() => void events.push(event._tag))
      })
    )
    return Exit.isSuccess(exit)
      ? { bytes: exit.value.bytes, verified: exit.value.verified, attempts: exit.value.attempts, events }
      : {
        failure: String(
          exit.cause.reasons.map((reason) => reason._tag === "Fail" ? (reason.error as Error).message : String(reason))
        ),
        events
      }
  })

const text = "é;b\n1;2\n".repeat(400_000)

const scenarios = Effect.gen(function*() {
  const { file } = yield* Effect.promise(() => onDisk("gl.csv", 3))
  const forms = yield* target(`${origin}/form`)
  const flaky = yield* target(`${origin}/form/flaky`)
  const objects = yield* put("/object")
  return {
    "a small text in a form": yield* summary(forms, UploadSource.bytes("small.csv", "a;b\n1;2\n")),
    "a large text in a form": yield* summary(forms, UploadSource.bytes("large.csv", text)),
    "a file in a form": yield* summary(forms, UploadSource.blob("gl.csv", file)),
    "a file in a form, rejected at first": yield* summary(flaky, UploadSource.blob("gl.csv", file)),
    "a file as an object": yield* summary(objects, UploadSource.blob("gl.csv", file)),
    "a large text as an object": yield* summary(objects, UploadSource.bytes("large.csv", text)),
    "no bytes": yield* summary(objects, UploadSource.blob("nothing", new Blob([]))),
    "a stream": yield* summary(
      forms,
      UploadSource.stream("stream", { stream: Stream.make(new Uint8Array(3 * MiB)), size: 3 * MiB })
    )
  }
})

const changed = Effect.gen(function*() {
  const { file, handle } = yield* Effect.promise(() => onDisk("changing.csv", 3))
  yield* Effect.promise(async () => {
    const writable = await handle.createWritable()
    await writable.write("other")
    await writable.close()
  })
  const objects = yield* put("/object")
  return {
    "a file that has changed": yield* summary({ ...objects, digests: [] }, UploadSource.blob("changing.csv", file))
  }
})

const tus = Effect.gen(function*() {
  const { file } = yield* Effect.promise(() => onDisk("resumable.csv", 5))
  const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {})
  const resumable = TusTarget.make({
    client,
    endpoint: `${origin}/tus`,
    source: (source: UploadSource.UploadSource) => source,
    chunkSize: 2 * MiB
  })
  return { "a file by tus": yield* summary(resumable, UploadSource.blob("resumable.csv", file)) }
})

const large = Effect.gen(function*() {
  const size = Number(new URLSearchParams(location.search).get("large"))
  const { file } = yield* Effect.promise(() => onDisk("huge.csv", size))
  const forms = yield* target(`${origin}/count`)
  return { "a huge file": yield* summary({ ...forms, digests: [] }, UploadSource.blob("huge.csv", file)) }
})

const program = Effect.gen(function*() {
  const results = [yield* scenarios, yield* changed, yield* tus, yield* large]
  return Object.assign({}, ...results)
})

Effect.runPromise(program.pipe(
  Effect.provide(FetchHttpClient.layer),
  Effect.provideService(HttpClient.TracerPropagationEnabled, false)
)).then(
  (results) => fetch("/results", { method: "POST", body: JSON.stringify(results) }),
  (error) => fetch("/results", { method: "POST", body: JSON.stringify({ crash: String(error) }) })
)

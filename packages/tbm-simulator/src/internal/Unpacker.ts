/** Counts the rows of a file while it arrives, of a `.gz` after unpacking. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { createGunzip } from "node:zlib"
import * as RowCounter from "./RowCounter.ts"

export class NotGzip extends Data.TaggedError("NotGzip")<{}> {}

export interface Unpacker {
  readonly update: (bytes: Uint8Array) => void
  /** Waits until the unpacker takes more bytes. */
  readonly ready: Effect.Effect<void>
  /** Waits for the last bytes, then returns the number of rows. */
  readonly rows: Effect.Effect<number, NotGzip>
  readonly dispose: () => void
}

export const make = (fileName: string): Unpacker => fileName.toLowerCase().endsWith(".gz") ? gunzip() : plain()

const plain = (): Unpacker => {
  const counter = RowCounter.make()
  return {
    update: counter.update,
    ready: Effect.void,
    rows: Effect.sync(counter.rows),
    dispose: () => {}
  }
}

const gunzip = (): Unpacker => {
  const counter = RowCounter.make()
  const stream = createGunzip({ chunkSize: 64 * 1024 })
  let broken = false
  stream.on("data", counter.update)
  stream.on("error", () => {
    broken = true
  })
  const once = (event: "drain" | "end", settled: () => boolean): Effect.Effect<void> =>
    Effect.callback((resume) => {
      if (settled()) return resume(Effect.void)
      const done = () => {
        stream.off(event, done)
        stream.off("close", done)
        resume(Effect.void)
      }
      stream.on(event, done)
      stream.on("close", done)
    })
  return {
    update(bytes) {
      if (!broken) stream.write(bytes)
    },
    ready: once("drain", () => broken || !stream.writableNeedDrain),
    rows: Effect.suspend(() => {
      if (!broken) stream.end()
      return Effect.flatMap(
        once("end", () => broken || stream.readableEnded),
        () => broken ? Effect.fail(new NotGzip()) : Effect.sync(counter.rows)
      )
    }),
    dispose: () => stream.destroy()
  }
}

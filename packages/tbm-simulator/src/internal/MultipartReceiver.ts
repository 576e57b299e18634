/** Reads a multipart form from the connection at constant memory: the bytes of one file, for a sink, and text fields. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as MultipartParser from "effect/http/MultipartParser"
import type * as Connection from "./Connection.ts"

/** Where the file's bytes go. */
export interface Sink<out E = never> {
  readonly open: (fileName: string) => void
  readonly update: (bytes: Uint8Array) => void
  /** Waits until the sink takes more bytes. */
  readonly ready: Effect.Effect<void, FormError | E>
}

export interface Form {
  /** Undefined if no part was a file. */
  readonly fileName: string | undefined
  readonly fields: ReadonlyMap<string, string>
}

/** The body is not a valid form, or has more than one file. */
export class FormError extends Data.TaggedError("FormError")<{ readonly status: number; readonly message: string }> {}

export const receive = Effect.fnUntraced(function*<E = never>(
  connection: Connection.Connection,
  sink: Sink<E>,
  pace: Connection.Pace
): Effect.fn.Return<Form, FormError | E | Connection.Disconnected> {
  const fields = new Map<string, string>()
  const seen: { fileName?: string; problem?: string } = {}
  const parser = MultipartParser.make({
    headers: connection.headers,
    onField: (info, value) => {
      fields.set(info.name, MultipartParser.decodeField(info, value))
    },
    onFile: (info) => {
      if (seen.fileName !== undefined) {
        seen.problem ??= "The request holds more than one file."
        return () => {}
      }
      seen.fileName = unescapeName(info.filename ?? info.name)
      sink.open(seen.fileName)
      return (chunk) => {
        if (chunk !== null) sink.update(chunk)
      }
    },
    onError: (error) => {
      seen.problem ??= `The request body is not a valid multipart form: ${describe(error)}.`
    },
    onDone: () => {}
  })
  let ended = false
  while (!ended && seen.problem === undefined) {
    const piece = yield* connection.pull(pace)
    if (piece === undefined) parser.end()
    else parser.write(piece)
    ended = piece === undefined
    yield* sink.ready
  }
  if (seen.problem !== undefined) return yield* new FormError({ status: 400, message: seen.problem })
  return { fileName: seen.fileName, fields }
})

const describe = (error: MultipartParser.MultipartError): string => {
  switch (error._tag) {
    case "InvalidBoundary":
      return "no boundary in Content-Type"
    case "BadHeaders":
      return `bad part headers (${error.error.reason})`
    case "InvalidDisposition":
      return "a part without a usable Content-Disposition"
    case "ReachedLimit":
      return `${error.limit} exceeded`
    case "EndNotReached":
      return "it ends before the closing boundary"
  }
}

/** Clients escape quotes and line breaks in a file name as browsers do (`%22`) or as curl once did (`\"`). */
const unescapeName = (name: string): string =>
  name.replace(/%22|%0D|%0A|\\"|\\\\/gi, (escape) => escapes[escape.toUpperCase()] ?? escape)

const escapes: { readonly [escape: string]: string } = {
  "%22": "\"",
  "%0D": "\r",
  "%0A": "\n",
  "\\\"": "\"",
  "\\\\": "\\"
}

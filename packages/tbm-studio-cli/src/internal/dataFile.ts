import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { type Encoding, encodings } from "./encoding.ts"
import * as Rules from "./rules.ts"
import { InvalidOption } from "./runtime.ts"

/** The flags of the commands that send files. */
export const flags = {
  encoding: Flag.Literals("encoding", encodings).pipe(
    Flag.withDescription("The encoding of the files; what is not UTF-8 is sent as UTF-8 (default utf-8)"),
    Flag.withDefault("utf-8")
  ),
  preflight: Flag.Boolean("preflight").pipe(
    Flag.withDescription(
      "Read every file before anything is sent, and stop if one is not CSV or TSV in UTF-8 with a name for each column and the " +
        "same number of fields in each row (default; --no-preflight sends without checking)"
    ),
    Flag.withDefault(true)
  ),
  rules: Flag.String("rules").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription(
      "What the files of each table must have: columns, numbers, rows; a JSON file that the README describes"
    ),
    Flag.optional
  ),
  allowEmpty: Flag.Boolean("allow-empty").pipe(
    Flag.withDescription("Overwrite with files that have a header and no rows, which empties the table's period"),
    Flag.withDefault(false)
  )
}

/** A file as it is sent: in UTF-8. */
export const source = (
  file: string,
  encoding: Encoding,
  name?: string
): UploadSource.UploadSource<FileSystem.FileSystem> => encoded(UploadSource.file(file, { name }), encoding)

/** A source with this encoding, as it is sent. */
export const encoded = <R>(plain: UploadSource.UploadSource<R>, encoding: Encoding): UploadSource.UploadSource<R> => {
  if (encoding === "utf-8") return plain
  return /\.gz$/i.test(plain.name)
    ? UploadSource.gzip(UploadSource.fromWindows1252(UploadSource.gunzip(plain)))
    : UploadSource.fromWindows1252(plain)
}

/** What the preflight checks, by these flags. */
export const checks = Effect.fnUntraced(function*({ allowEmpty, encoding, preflight, rules }: {
  readonly allowEmpty: boolean
  readonly encoding: Encoding
  readonly preflight: boolean
  readonly rules: Option.Option<string>
}) {
  if (Option.isNone(rules)) return { allowEmpty, encoding }
  if (!preflight) {
    return yield* new InvalidOption({ message: "Leave out --no-preflight: it would turn --rules off." })
  }
  return { allowEmpty, encoding, rules: yield* Rules.read(rules.value) }
})

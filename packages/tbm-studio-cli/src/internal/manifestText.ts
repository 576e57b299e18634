import * as FileFormat from "@effect-resilience/upload/FileFormat"
import * as Result from "effect/Result"

/** A manifest's text without a byte order mark, and the same as UTF-8, which may have one. */
export interface ManifestText {
  readonly text: string
  readonly bytes: Uint8Array
}

/** Reads what spreadsheets save as text, or says what the file is and how to save it. */
export const decode = (bytes: Uint8Array): Result.Result<ManifestText, string> => {
  const format = FileFormat.of(bytes)
  if (format === "utf-16le" || format === "utf-16be") return decodeAs(bytes, format)
  return format === undefined ? decodeAs(bytes, "utf-8") : Result.fail(`${FileFormat.describe(format)}.`)
}

// In another encoding, a name with an umlaut would name another table.
const decodeAs = (
  bytes: Uint8Array,
  encoding: "utf-8" | "utf-16le" | "utf-16be"
): Result.Result<ManifestText, string> =>
  Result.flatMap(
    Result.mapError(
      Result.try(() => new TextDecoder(encoding, { fatal: true }).decode(bytes)),
      () => {
        const [good = ""] = new TextDecoder(encoding).decode(bytes).split("\ufffd", 1)
        const line = good.split(/\r\n?|\n/).length
        return encoding === "utf-8"
          ? `line ${line} is not UTF-8: save the manifest with that encoding. In Excel, it is "CSV UTF-8 (Comma delimited)".`
          : `line ${line} is not UTF-16, but the lines before it are: save the manifest again.`
      }
    ),
    (text) => {
      const nul = text.indexOf("\0")
      if (nul >= 0) {
        return Result.fail(
          `line ${text.slice(0, nul).split("\n").length} has a NUL character, so it is no text.`
        )
      }
      // Some programs still end lines with a carriage return, as old Macs did.
      const content = text.includes("\n") ? text : text.replaceAll("\r", "\n")
      return Result.succeed({
        text: content,
        bytes: encoding === "utf-8" && content === text ? bytes : new TextEncoder().encode(content)
      })
    }
  )

import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import type { DescriptionText } from "../descriptionText.ts"
import * as descriptionText from "../descriptionText.ts"
import { exit, Failure } from "./failure.ts"

/** The text of a file. One that is missing, too long or not UTF-8 is no input. */
export const readText = (
  file: string,
  maxBytes = 4 * descriptionText.maxLength
): Effect.Effect<string, Failure, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const unreadable = (why: string) => new Failure({ message: `${file}: ${why}`, status: exit.noInput })
    const { size } = yield* Effect.mapError(files.stat(file), ({ reason }) =>
      unreadable(`cannot be read (${reason._tag})`))
    if (Number(size) > maxBytes) {
      return yield* unreadable(`longer than ${maxBytes} bytes`)
    }
    const bytes = yield* Effect.mapError(files.readFile(file), ({ reason }) =>
      unreadable(`cannot be read (${reason._tag})`))
    const text = Result.try(() =>
      new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    )
    return Result.isSuccess(text) ? text.success : yield* unreadable("is not UTF-8")
  })

/** A description in a file, JSON or YAML. */
export const read = (file: string): Effect.Effect<DescriptionText, Failure, FileSystem.FileSystem> =>
  Effect.flatMap(readText(file), (text) => {
    const parsed = descriptionText.parse(text, /\.json$/i.test(file))
    return Result.isSuccess(parsed)
      ? Effect.succeed(parsed.success)
      : Effect.fail(new Failure({ message: `${file}: ${parsed.failure}`, status: exit.noInput }))
  })

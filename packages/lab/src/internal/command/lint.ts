import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Located } from "../descriptionText.ts"
import * as descriptionText from "../descriptionText.ts"
import { exit, Failure } from "./failure.ts"
import * as input from "./input.ts"
import * as output from "./output.ts"

export const lint = Command.make("lint", {
  files: Argument.String("FILE").pipe(
    Argument.withDescription("Descriptions of pipelines or clients, JSON or YAML"),
    Argument.variadic({ min: 1 })
  ),
  strict: Flag.Boolean("strict").pipe(Flag.withDescription("Advice too ends with status 1"), Flag.withDefault(false)),
  json: Flag.Boolean("json").pipe(Flag.withDescription("One JSON document"), Flag.withDefault(false))
}, ({ files, json, strict }) =>
  Effect.gen(function*() {
    const read = yield* Effect.forEach(files, (file) =>
      Effect.map(
        Effect.result(input.read(file)),
        (result) => ({ file, result: Result.map(result, (text) => descriptionText.lint(text)) })
      ))
    const remarks = read.flatMap(({ result }) => Result.isSuccess(result) ? result.success : [])
    const errors = remarks.filter(({ level }) => level === "error").length
    const counts = { errors, advice: remarks.length - errors }
    if (json) {
      yield* output.json("lint", {
        ...counts,
        files: read.map(({ file, result }) =>
          Result.isSuccess(result) ? { file, remarks: result.success } : { file, unreadable: result.failure.message }
        )
      })
    } else {
      for (const { file, result } of read) {
        if (Result.isSuccess(result)) { for (const remark of result.success) yield* Console.log(lines(file, remark)) }
      }
      if (remarks.length > 0) yield* Console.log(`errors: ${counts.errors}, advice: ${counts.advice}`)
    }
    const unreadable = read.flatMap(({ result }) => Result.isFailure(result) ? [result.failure] : [])
    const [first] = unreadable
    if (first !== undefined) {
      for (const { message } of unreadable.slice(0, -1)) {
        yield* Console.error(`effect-resilience-lab: ${output.shown(message)}`)
      }
      return yield* unreadable.at(-1) ?? first
    }
    if (errors > 0 || (strict && remarks.length > 0)) return yield* new Failure({ status: exit.found })
  })).pipe(Command.withDescription("Names the mistakes of descriptions, with why, the arithmetic and the fix"))

const lines = (file: string, { arithmetic, column, fix, level, line, message, rule, why }: Located): string =>
  [
    `${output.shown(file)}:${line}:${column} ${level} ${rule}: ${output.shown(message)}`,
    `  why: ${why}`,
    ...arithmetic === undefined ? [] : [`  arithmetic: ${output.shown(arithmetic)}`],
    `  fix: ${output.shown(fix)}`
  ].join("\n")

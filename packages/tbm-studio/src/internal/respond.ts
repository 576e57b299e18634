import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import * as ExitStatus from "../ExitStatus.ts"
import * as logging from "./logging.ts"
import { Json, LogFormat } from "./options.ts"

/** What a command has to say: one document for programs, lines for people, and the exit status for both. */
export interface Response {
  readonly json: object
  readonly text: ReadonlyArray<string>
  readonly problems?: ReadonlyArray<string>
  readonly exitStatus: number
}

/** Ends the process with a status; what there is to say has been said. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{ readonly exitStatus: number }> {
  override readonly [Runtime.errorExitCode] = this.exitStatus
  override readonly [Runtime.errorReported] = true
}

/** An error in the words of `--json`. `reason` is the tag again where there is nothing closer to say. */
export interface Failure {
  readonly tag: string
  readonly reason: string
  readonly message: string
  readonly recovery: Recovery.Recovery["_tag"]
}

export const failureOf = (error: unknown): Failure => {
  const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : "Error"
  return {
    tag,
    reason: ExitStatus.reasonTagOf(error) ?? tag,
    message: Predicate.hasProperty(error, "message") ? String(error.message) : String(error),
    recovery: Recovery.of(error)._tag
  }
}

/** What a command prints for `--json` where it failed as a whole. */
export type FailureDocument = (error: Failure) => object

const failedDocument: FailureDocument = (error) => ({ status: "failed", error })

/** The response to a failure that has no better one. */
export const failed = (error: unknown, document = failedDocument): Response =>
  failedWith(failureOf(error), ExitStatus.of(error), document)

const failedWith = (error: Failure, exitStatus: number, document: FailureDocument): Response => ({
  json: document(error),
  text: [],
  problems: [error.message],
  exitStatus
})

/** Runs a command's effect and says what came of it. Nothing but a `CommandFailed` or an interruption gets out. */
export const respondWith = (document: FailureDocument) => <E, R>(effect: Effect.Effect<Response, E, R>) =>
  Effect.gen(function*() {
    const json = yield* Json
    const response = yield* effect.pipe(
      Effect.catch((error) => Effect.succeed(failed(error, document))),
      Effect.catchDefect((defect) => Effect.as(Effect.logDebug(stackOf(defect)), bug(defect, document))),
      Effect.provide(logging.layer(yield* LogFormat))
    )
    yield* say(response, json)
  })

/** The same, with `{status: "failed", error}` where it fails. */
export const respond = respondWith(failedDocument)

/** Prints a response, scrubbed once more, and fails where its status is not 0. */
export const say = Effect.fnUntraced(function*(response: Response, json: boolean) {
  const { scrub } = yield* Scrubber.Current
  const { problems = [] } = response
  if (problems.length > 0) yield* Console.error(scrub(problems.join("\n")))
  if (json) yield* Console.log(scrub(JSON.stringify(response.json, undefined, 2)))
  else {
    const { text } = response
    if (text.length > 0) yield* Console.log(scrub(text.join("\n")))
  }
  if (response.exitStatus !== ExitStatus.done) {
    return yield* new CommandFailed({ exitStatus: response.exitStatus })
  }
})

/** The response to a defect: one line, without the stack that `--log-level debug` shows. */
export const bug = (defect: unknown, document = failedDocument): Response => {
  const message = `This is a bug in tbm-studio: ${Cause.pretty(Cause.die(defect)).split("\n")[0]}. ` +
    "Please report it; --log-level debug shows more."
  return failedWith({ tag: "Bug", reason: "Bug", message, recovery: "GiveUp" }, ExitStatus.bug, document)
}

const stackOf = (defect: unknown): string => Cause.pretty(Cause.die(defect))

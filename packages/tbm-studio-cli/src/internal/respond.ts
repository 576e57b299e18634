import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import * as ExitStatus from "../ExitStatus.ts"
import * as logging from "./logging.ts"
import { Json, LogFormat } from "./options.ts"
import * as Output from "./output.ts"

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

/** A signal ended the command. */
export class Interrupted extends Data.TaggedError("Interrupted") {
  override get message(): string {
    return "Interrupted before it was done."
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

/** An error in the words of `--json`. `reason` is the tag again where there is nothing closer to say. */
export interface Failure {
  readonly tag: string
  readonly reason: string
  readonly message: string
  readonly recovery: Recovery.Recovery["_tag"]
}

export const failureOf = (error: unknown): Failure => {
  const tag = ErrorName.nameOf(error)
  return {
    tag,
    reason: ErrorName.reasonTagOf(error) ?? tag,
    message: ErrorMessage.textOf(error),
    recovery: Recovery.of(error)._tag
  }
}

/** The lines of an error's message, of which only an error that lists several things has more than one. */
export const linesOf = (error: unknown): ReadonlyArray<string> =>
  Predicate.hasProperty(error, "lines") && Array.isArray(error.lines)
    ? error.lines.map(String)
    : [failureOf(error).message]

/** Why a command ended without a response of its own. */
export interface End {
  readonly error: Failure
  /** Its message, line by line. */
  readonly problems: ReadonlyArray<string>
  readonly exitStatus: number
}

const endBy = (error: unknown): End => {
  const failure = failureOf(error)
  return { error: failure, problems: linesOf(error), exitStatus: ExitStatus.of(error) }
}

const endByDefect = (defect: unknown): End => {
  const message = `This is a bug in tbm-studio: ${Cause.pretty(Cause.die(defect)).split("\n")[0]}. ` +
    "Please report it; --log-level debug shows more."
  return {
    error: { tag: "Bug", reason: "Bug", message, recovery: "GiveUp" },
    problems: [message],
    exitStatus: ExitStatus.bug
  }
}

/** What a command prints for `--json` where it failed as a whole. */
export type FailureDocument = (error: Failure) => object

const failedDocument: FailureDocument = (error) => ({ status: "failed", error })

interface Running {
  readonly json: boolean
  /** What there is to say if the command ended now. */
  respond: (end: End) => Response
}

const failedWith = (document: FailureDocument) => ({ error, exitStatus, problems }: End): Response => ({
  json: document(error),
  text: [],
  problems,
  exitStatus
})

// A process runs one command. What ends it without a word of its own, such as a signal, comes to the process too.
let running: Running = { json: process.argv.includes("--json"), respond: failedWith(failedDocument) }
let said: number | undefined

/** From now on, an end without a response tells what is known, whatever ends the command. */
export const knowing = (respond: Running["respond"]): Effect.Effect<void> =>
  Effect.sync(() => {
    running.respond = respond
  })

/**
 * A response about what is known, with how it ended. What the response says of that itself, it knows better; and where all is
 * known, an interruption changes nothing.
 */
export const withEnd = (response: Response, { error, exitStatus, problems }: End, complete = false): Response =>
  complete && exitStatus === ExitStatus.interrupted ? response : {
    ...response,
    json: { ...response.json, ..."error" in response.json ? {} : { error } },
    problems: [...response.problems ?? [], ..."error" in response.json ? [] : problems],
    exitStatus: ExitStatus.gravest([response.exitStatus, exitStatus])
  }

const lastWord = (end: End): Response =>
  Result.getOrElse(Result.try(() => running.respond(end)), () => failedWith(failedDocument)(end))

/** Runs a command's effect and says what came of it, however it ends. Nothing but a `CommandFailed` gets out. */
export const respondWith = (document: FailureDocument) => <E, R>(effect: Effect.Effect<Response, E, R>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      running = { json: yield* Json, respond: failedWith(document) }
      const exit = yield* restore(effect).pipe(
        Effect.tapDefect((defect) => Effect.logDebug(Cause.pretty(Cause.die(defect)))),
        Effect.provide(logging.layer(yield* LogFormat)),
        Effect.exit
      )
      yield* say(Exit.isSuccess(exit) ? exit.value : lastWord(endOf(exit.cause)))
    })
  )

/** The same, with `{status: "failed", error}` where it fails. */
export const respond = respondWith(failedDocument)

const endOf = (cause: Cause.Cause<unknown>): End =>
  Option.match(Cause.findErrorOption(cause), {
    onSome: endBy,
    onNone: () =>
      Result.match(Cause.findDefect(cause), {
        onSuccess: endByDefect,
        onFailure: () => endBy(new Interrupted())
      })
  })

/** The response to a failure that has no better one. */
export const failed = (error: unknown): Response => failedWith(failedDocument)(endBy(error))

/** Prints a response, and fails where its status is not 0. Only the first one is printed. */
export const say = Effect.fnUntraced(function*({ exitStatus, json, problems = [], text }: Response) {
  if (said !== undefined) return
  said = exitStatus
  yield* Output.print("stderr", problems)
  yield* running.json ? Output.printJson("stdout", json) : Output.print("stdout", text)
  if (exitStatus !== ExitStatus.done) return yield* new CommandFailed({ exitStatus })
})

const sayNow = (end: End): void => void Effect.runSyncExit(say(lastWord(end)))

/** Ends the process when everything is printed: with the status of the response, and another where it cannot be read. */
const finish = (status: number, exit: (status: number) => void): void =>
  Output.flushed((failure) => {
    if (failure === undefined) return exit(said ?? status)
    Effect.runSync(Output.print("stderr", [`Standard output cannot be written: ${failure.message}.`]))
    exit(ExitStatus.gravest([said ?? status, ExitStatus.cannotWrite]))
  })

let leftBehind = false

/** The process ends with the program, whatever of it still runs in the background. */
export const leaveBehind: Effect.Effect<void> = Effect.sync(() => {
  leftBehind = true
})

/** What is to be done when the program has ended, with the status that Effect has for it. */
export const ended = (exit: Exit.Exit<unknown, unknown>, status: number): void => {
  if (Exit.isFailure(exit) && !(Cause.squash(exit.cause) instanceof CommandFailed)) sayNow(endOf(exit.cause))
  finish(status, (status) => {
    if (leftBehind) process.exit(status)
    // It ends by itself when every pipe has taken what it was given.
    process.exitCode = status
  })
}

/** Ends a process outside of Effect, by an exception that nothing catches. */
export const crash = (error: unknown): void => {
  sayNow(endByDefect(error))
  finish(ExitStatus.bug, () => process.exit(ExitStatus.bug))
}

let givenUp = false

/** Ends a process that does not end by itself: when its last word is printed, and at once where that is stuck too. */
export const giveUp = (): void => {
  if (givenUp) process.exit(said)
  givenUp = true
  sayNow(endBy(new Interrupted()))
  finish(ExitStatus.interrupted, process.exit)
}

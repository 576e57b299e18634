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
import * as CsvText from "./csvText.ts"
import * as logging from "./logging.ts"
import * as Notify from "./notify.ts"
import * as options from "./options.ts"
import * as Output from "./output.ts"
import * as words from "./words.ts"

/** The output of a command: one document for programs, lines for people, and the exit status for both. */
export interface CommandOutput {
  readonly json: object
  /** The lines, or how they fill this many columns. */
  readonly text: ReadonlyArray<string> | ((width: number) => ReadonlyArray<string>)
  /** Rows of a CSV file, in place of the lines. */
  readonly csv?: ReadonlyArray<ReadonlyArray<CsvText.Cell>>
  readonly problems?: ReadonlyArray<string>
  readonly exitStatus: number
}

/** Ends the process with a status. The output has been printed. */
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

/** An error as `--json` reports it. `reason` repeats the tag if there is no more specific reason. */
export interface Failure {
  readonly tag: string
  readonly reason: string
  readonly message: string
  readonly recovery: Recovery.Recovery["_tag"]
  /** The message in words for people, if it differs. JSON does not have it. */
  readonly [forPeople]?: string
}

export const forPeople: unique symbol = Symbol.for("@effect-resilience/tbm-studio-cli/forPeople")

export const failureOf = (error: unknown): Failure => {
  const tag = ErrorName.nameOf(error)
  return {
    tag,
    reason: ErrorName.reasonTagOf(error) ?? tag,
    message: ErrorMessage.textOf(error),
    recovery: Recovery.of(error)._tag
  }
}

/** The lines of an error's message. Only an error with several problems has more than one. */
export const linesOf = (error: unknown): ReadonlyArray<string> =>
  Predicate.hasProperty(error, "lines") && Array.isArray(error.lines)
    ? error.lines.map(String)
    : [words.explain(error)]

/** How a command ended without output of its own. */
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

/** The document that a command prints for `--json` if it failed as a whole. */
export type FailureDocument = (error: Failure) => object

const failedDocument: FailureDocument = (error) => ({ status: "failed", error })

interface Running {
  readonly json: boolean
  /** The output if the command ended now. */
  onEarlyEnd: (end: End) => CommandOutput
}

const failedWith = (document: FailureDocument) => ({ error, exitStatus, problems }: End): CommandOutput => ({
  json: document(error),
  text: [],
  problems,
  exitStatus
})

// A process runs one command. A signal, which ends the command without output of its own, also reaches the process.
let running: Running = { json: options.asksForJson(process.argv.slice(2)), onEarlyEnd: failedWith(failedDocument) }
let printedStatus: number | undefined

/** Sets the output for an early end: what is known so far, whatever ends the command. */
export const onEarlyEnd = (onEarlyEnd: Running["onEarlyEnd"]): Effect.Effect<void> =>
  Effect.sync(() => {
    running.onEarlyEnd = onEarlyEnd
  })

/**
 * Adds to an output how the command ended. An error that the output already has is kept. If the output is `complete`, an
 * interruption changes nothing.
 */
export const withEnd = (
  output: CommandOutput,
  { error, exitStatus, problems }: End,
  complete = false
): CommandOutput =>
  complete && exitStatus === ExitStatus.interrupted ? output : {
    ...output,
    json: { ...output.json, ..."error" in output.json ? {} : { error } },
    problems: [...output.problems ?? [], ..."error" in output.json ? [] : problems],
    exitStatus: ExitStatus.gravest([output.exitStatus, exitStatus])
  }

const earlyOutput = (end: End): CommandOutput =>
  Result.getOrElse(Result.try(() => running.onEarlyEnd(end)), () => failedWith(failedDocument)(end))

/** Runs a command's effect and prints its output, however it ends. It fails with a `CommandFailed` only. */
export const printOutputWith = (document: FailureDocument) => <E, R>(effect: Effect.Effect<CommandOutput, E, R>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      running = { json: yield* options.Json, onEarlyEnd: failedWith(document) }
      const exit = yield* restore(effect).pipe(
        Effect.tapDefect((defect) => Effect.logDebug(Cause.pretty(Cause.die(defect)))),
        Effect.provide(logging.layer(yield* options.LogFormat)),
        Effect.exit
      )
      const output = Exit.isSuccess(exit) ? exit.value : earlyOutput(endOf(exit.cause))
      const printed = yield* Effect.exit(print(output))
      const notify = yield* options.Notify
      if (Option.isSome(notify) && output.exitStatus !== ExitStatus.done) {
        yield* Notify.run(notify.value, documentOf(output), output.exitStatus)
      }
      return yield* printed
    })
  )

/** `printOutputWith` the document `{status: "failed", error}`. */
export const printOutput = printOutputWith(failedDocument)

const endOf = (cause: Cause.Cause<unknown>): End =>
  Option.match(Cause.findErrorOption(cause), {
    onSome: endBy,
    onNone: () =>
      Result.match(Cause.findDefect(cause), {
        onSuccess: endByDefect,
        onFailure: () => endBy(new Interrupted())
      })
  })

/** The output for an error alone. */
export const failed = (error: unknown): CommandOutput => failedWith(failedDocument)(endBy(error))

/**
 * The version of `schema/output.json`, which each document has. It changes if a field gets another meaning or is no longer
 * there; a new field does not change it.
 */
const schemaVersion = 1

const documentOf = ({ json }: CommandOutput): object => ({ schemaVersion, ...json })

/** Prints an output, and fails if its status is not 0. Only the first output is printed. */
export const print = Effect.fnUntraced(function*(output: CommandOutput) {
  const { csv, exitStatus, problems = [], text } = output
  if (printedStatus !== undefined) return
  printedStatus = exitStatus
  yield* Output.pin([])
  yield* Output.print("stderr", problems)
  yield* running.json
    ? Output.printJson("stdout", documentOf(output))
    : csv !== undefined
    ? Output.printRows("stdout", csv.map(CsvText.line))
    : Output.print("stdout", typeof text === "function" ? text(yield* Output.widthOf("stdout")) : text)
  if (exitStatus !== ExitStatus.done) return yield* new CommandFailed({ exitStatus })
})

const printNow = (end: End): void => void Effect.runSyncExit(print(earlyOutput(end)))

/** Ends the process when everything is printed: with the status of the output, or a graver one if standard output fails. */
const finish = (status: number, exit: (status: number) => void): void =>
  Output.flushed((failure) => {
    if (failure === undefined) return exit(printedStatus ?? status)
    Effect.runSync(Output.print("stderr", [`Standard output cannot be written: ${failure.message}.`]))
    exit(ExitStatus.gravest([printedStatus ?? status, ExitStatus.cannotWrite]))
  })

let leftBehind = false

/** Makes the process end with the program, even if effects still run in the background. */
export const leaveBehind: Effect.Effect<void> = Effect.sync(() => {
  leftBehind = true
})

/** Ends the process when the program has ended with this exit. `status` is Effect's exit status. */
export const ended = (exit: Exit.Exit<unknown, unknown>, status: number): void => {
  if (Exit.isFailure(exit) && !(Cause.squash(exit.cause) instanceof CommandFailed)) printNow(endOf(exit.cause))
  finish(status, (status) => {
    if (leftBehind) process.exit(status)
    // The process ends by itself when every pipe has accepted its output.
    process.exitCode = status
  })
}

/** Ends the process after an uncaught exception outside of Effect. */
export const crash = (error: unknown): void => {
  printNow(endByDefect(error))
  finish(ExitStatus.bug, () => process.exit(ExitStatus.bug))
}

let givenUp = false

/** Ends a process that does not end by itself: when its output is printed, and at once on the second call. */
export const giveUp = (): void => {
  if (givenUp) process.exit(printedStatus)
  givenUp = true
  printNow(endBy(new Interrupted()))
  finish(ExitStatus.interrupted, process.exit)
}

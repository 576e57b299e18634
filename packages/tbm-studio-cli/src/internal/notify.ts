import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Stream from "effect/Stream"
import * as Output from "./output.ts"
import * as units from "./units.ts"
import * as words from "./words.ts"

/** How long the program may take. */
const limit = "30 seconds"

/**
 * Runs the program of `--notify`, without a shell, and gives it the document of a command that failed. It gets no secrets. If it
 * fails itself, that is printed.
 */
export const run = Effect.fnUntraced(function*(program: string, document: object, exitStatus: number) {
  const command = ChildProcess.make(program, [], {
    env: {
      TBM_STUDIO_EXIT_STATUS: String(exitStatus),
      TBM_PUBLIC_KEY: undefined,
      TBM_SECRET_KEY: undefined,
      DATABASE_URL: undefined
    },
    extendEnv: true,
    forceKillAfter: "2 seconds"
  })
  const running = Effect.gen(function*() {
    const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
    const { all, exitCode, stdin } = yield* spawner.spawn(command)
    // A program that does not read is none that failed.
    yield* Effect.forkScoped(
      Effect.ignore(Stream.run(Stream.encodeText(Stream.succeed(Output.jsonText(document))), stdin))
    )
    let said = ""
    const reading = yield* Effect.forkScoped(
      Effect.ignore(Stream.runForEach(Stream.splitLines(Stream.decodeText(all)), (line) =>
        Effect.sync(() => {
          if (line.trim() !== "") said = line.slice(0, 500)
        })))
    )
    const code = yield* exitCode
    // What it has started may keep its output open.
    yield* Effect.timeoutOption(Fiber.await(reading), "1 second")
    return code === 0 ? undefined : `ended with status ${code}${said === "" ? "" : `: ${said}`}`
  }).pipe(
    Effect.timeoutOption(limit),
    Effect.map(Option.getOrElse(() => `was stopped, since it took longer than ${units.duration(limit)}`)),
    Effect.scoped,
    Effect.catch(({ reason }: PlatformError.PlatformError) =>
      Effect.succeed(`could not be run: ${words.ofSystem(reason)}`)
    )
  )
  // A signal has interrupted the command, but not this.
  const failure = yield* Fiber.join(yield* Effect.forkDetach(Effect.interruptible(running)))
  if (failure !== undefined) yield* Output.print("stderr", [`--notify ${program} ${failure}.`])
})

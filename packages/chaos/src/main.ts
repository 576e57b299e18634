import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as proxy from "./internal/proxy.ts"

const print = (stream: NodeJS.WriteStream) => (line: string) =>
  Effect.sync(() => {
    stream.write(`${line}\n`)
  })

const lines = Effect.gen(function*() {
  const lines = yield* Queue.unbounded<string>()
  let rest = ""
  process.stdin.setEncoding("utf8").on("data", (text) => {
    const parts = (rest + text).split("\n")
    rest = parts.pop() ?? ""
    Queue.offerAllUnsafe(lines, parts)
  })
  // The kill switch, for a proxy whose input is elsewhere.
  if (process.platform !== "win32") process.on("SIGUSR2", () => Queue.offerUnsafe(lines, "kill"))
  return lines
})

// What the relay logs goes where it disturbs no script that reads standard output.
const logger = Logger.withConsoleError(Logger.formatLogFmt)

const fiber = Effect.runFork(
  Effect.flatMap(lines, (lines) =>
    proxy.run(process.argv.slice(2), {
      lines,
      out: print(process.stdout),
      err: print(process.stderr)
    })).pipe(Effect.scoped, Effect.provide(Logger.layer([logger])))
)

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => Effect.runFork(Fiber.interrupt(fiber)))
}

fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exit(exit.value)
  // A signal is the usual way to stop it.
  if (Cause.hasInterruptsOnly(exit.cause)) process.exit(0)
  process.stderr.write(`${Cause.pretty(exit.cause)}\n`)
  process.exit(70)
})

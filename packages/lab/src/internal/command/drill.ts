import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Lab from "../../Lab.ts"
import { between } from "../../LabResult.ts"
import * as drills from "../drill.ts"
import { policyOf } from "../policyOf.ts"
import * as scenario from "../scenario.ts"
import { isJson } from "../subject.ts"
import { exit, Failure } from "./failure.ts"
import * as input from "./input.ts"
import * as output from "./output.ts"

export const drill = Command.make("drill", {
  target: Argument.String("HOST:PORT").pipe(Argument.withDescription("The dependency")),
  length: Flag.String("for").pipe(Flag.withDescription("How long, such as 2m; half of it has the fault")),
  fault: Flag.String("fault").pipe(
    Flag.withDescription("silence, hold, reject, reset, delay=200ms or cut=1000 (bytes of a response)")
  ),
  stopAt: Flag.Finite("stop-at").pipe(
    Flag.withDescription("The share of failures in 10 seconds that ends the fault; default 0.5"),
    Flag.withDefault(0.5)
  ),
  log: Flag.String("log").pipe(
    Flag.withDescription("The access log of the program, JSON, to count its calls"),
    Flag.optional
  ),
  policy: Flag.String("policy").pipe(Flag.withDescription("Its description, to predict what is seen"), Flag.optional),
  json: Flag.Boolean("json").pipe(Flag.withDescription("One JSON document"), Flag.withDefault(false))
}, (flags) =>
  Effect.scoped(Effect.gen(function*() {
    const usage = (message: string) => new Failure({ message, status: exit.usage })
    const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(flags.target) ?? []
    const host = bracketed ?? plain
    if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
      return yield* usage(`${flags.target} is not HOST:PORT`)
    }
    const length = durationOf(flags.length)
    if (length === undefined || !(Duration.toMillis(length) > 0)) {
      return yield* usage(`--for ${flags.length} is no time, such as 2m`)
    }
    const fault = drills.faultOf(flags.fault, durationOf)
    if (fault === undefined) {
      return yield* usage(`--fault ${flags.fault} is none of silence, hold, reject, reset, delay=200ms, cut=1000`)
    }
    if (!(flags.stopAt > 0 && flags.stopAt <= 1)) return yield* usage("--stop-at must be above 0 and at most 1")
    const predicted = Option.isSome(flags.policy)
      ? yield* predict(flags.policy.value, fault, Duration.toMillis(length))
      : undefined
    const lines = Option.isSome(flags.log) ? yield* appended(flags.log.value) : Effect.succeed([])

    const relay = yield* TcpRelay.make({ host, port: Number(port) })
    yield* Console.error(
      `drill: point the program at ${relay.host}:${relay.port} now; Ctrl-C ends the fault and the relay`
    )
    const { run, seen } = drills.make({
      relay,
      fault,
      forMillis: Duration.toMillis(length),
      stopAt: flags.stopAt,
      lines
    })
    const tell = (interrupted: boolean) => {
      const { phases, stopped } = seen()
      const { fault, target } = flags
      return flags.json
        ? output.json("drill", { target, fault, stopped, interrupted, phases, ...predicted && { predicted } })
        : Console.log(report(`${target}, ${fault}${endings(stopped, interrupted)}`, phases, predicted))
    }
    yield* Effect.onInterrupt(run, () => tell(true))
    yield* tell(false)

    if (seen().stopped) {
      return yield* new Failure({
        message: `stopped: at least ${flags.stopAt * 100} % failed within 10 seconds`,
        status: exit.found
      })
    }
  }))).pipe(Command.withDescription("Puts a fault before a dependency for some minutes, on loopback"))

const units: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

const durationOf = (text: string): Duration.Duration | undefined => {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? []
  return amount === undefined ? undefined : Duration.millis(Number(amount) * (units[unit] ?? 0))
}

interface Prediction {
  readonly name: string
  readonly sentForEach: number
  readonly good: number
}

/** What a simulation of the description gives in the same parts. Loads and times of the dependency are not known: see `simulate`. */
const predict = (file: string, fault: drills.Fault, millis: number) =>
  Effect.gen(function*() {
    const wrong = ({ message }: { readonly message: string }) =>
      new Failure({ message: `${file}: ${message}`, status: exit.usage })
    const { value } = yield* input.read(file)
    const policy = yield* Effect.mapError(policyOf(isJson(value) ? value : {}), wrong)
    // In whole seconds, since a simulation counts by the second.
    const quarter = Math.max(1, Math.round(millis / 4000))
    const outage = { from: quarter * 1000, for: 2 * quarter * 1000, fault: fault.simulated }
    const world = yield* Effect.mapError(
      scenario.world({ duration: 4 * quarter * 1000, outages: outage, processes: 1 }),
      wrong
    )
    const result = Lab.simulate({ ...world, policy })
    return [["before", 0, 1], ["fault", 1, 3], ["after", 3, 4]].map(([name, from, to]): Prediction => {
      const { good, offered, sent } = between(
        result,
        Duration.seconds(Number(from) * quarter),
        Duration.seconds(Number(to) * quarter)
      )
      return { name: String(name), sentForEach: sent / Math.max(1, offered), good: good / Math.max(1, offered) }
    })
  })

/** What is appended to a file from now on, whole lines only. */
const appended = (file: string) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const unreadable = () => new Failure({ message: `${file}: cannot be read`, status: exit.noInput })
    let offset = Number((yield* Effect.mapError(files.stat(file), unreadable)).size)
    return Effect.suspend(() =>
      Effect.map(Effect.mapError(Stream.runCollect(files.stream(file, { offset })), unreadable), (chunks) => {
        const bytes = joined(chunks)
        const end = bytes.lastIndexOf(10) + 1
        offset += end
        return new TextDecoder().decode(bytes.subarray(0, end)).split("\n")
      })
    )
  })

const joined = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

const endings = (stopped: boolean, interrupted: boolean): string =>
  [stopped ? ", stopped by its error rate" : "", interrupted ? ", interrupted: what was seen until then" : ""].join("")

const report = (
  title: string,
  phases: ReadonlyArray<drills.Phase>,
  predicted: ReadonlyArray<Prediction> | undefined
): string => {
  const share = (count: number, of: number) => of === 0 ? "" : (count / of).toFixed(2)
  const expected = (phase: string) => predicted?.find(({ name }) => name === phase)
  const row = (name: string, cell: (phase: drills.Phase) => string) => [name, ...phases.map(cell)]
  return [
    title,
    "",
    output.table(["", ...phases.map(({ name }) => name)], [
      row("seconds", ({ millis }) => (millis / 1000).toFixed(1)),
      row("connections", ({ connections }) => String(connections)),
      row("without response", ({ withoutResponse }) => String(withoutResponse)),
      row("calls", ({ calls }) => String(calls)),
      row("sent for each", ({ attempts, calls }) => share(attempts, calls)),
      row("  predicted", ({ name }) => expected(name)?.sentForEach.toFixed(2) ?? ""),
      row("good", ({ calls, good }) => share(good, calls)),
      row("  predicted", ({ name }) => expected(name)?.good.toFixed(2) ?? "")
    ])
  ].join("\n")
}

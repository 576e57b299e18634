import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { parseArgs } from "node:util"
import * as RelayFault from "../RelayFault.ts"
import * as TcpRelay from "../TcpRelay.ts"
import * as faultText from "./faultText.ts"

/** Lines that arrive on standard input, and the two outputs. */
export interface Terminal {
  readonly lines: Queue.Dequeue<string>
  readonly out: (line: string) => Effect.Effect<void>
  readonly err: (line: string) => Effect.Effect<void>
}

const help = `chaos-proxy HOST:PORT [options]

Listens on 127.0.0.1 and passes connections on to HOST:PORT, with faults.

  --listen PORT     the port of 127.0.0.1 to listen on; default a free one
  --fault TEXT      a fault; may be given more than once
  --off             starts with all faults off
  --seed N          of the faults; default by chance
  --for DURATION    stops after 30s, 10m, 1h; default when it is told to
  --help

Faults: latency 200ms · latency 100ms..300ms · latency exponential 200ms · bandwidth 10000 (bytes a second) · silence · hold ·
reset · reset after 1000 (bytes) · end · half-open · half-open client · slow-close 5s
Each may say: 20%, from 10s, for 30s, every 2m, times 3, as NAME, and up or down, but for what strikes a connection at once

Lines on standard input: on [NAME] · off [NAME] · add FAULT · counts · kill (all faults off until the end) · stop
SIGUSR2 kills the faults too. They end with the process in any case.`

const usage = 64
const noHost = 68
const unavailable = 69

interface Options {
  readonly upstream: TcpRelay.Upstream
  readonly duration: Duration.Input | undefined
}

/** Runs the command and returns its exit status. */
export const run = (args: ReadonlyArray<string>, terminal: Terminal): Effect.Effect<number, never, Scope.Scope> => {
  if (args.includes("--help") || args.includes("-h")) return Effect.as(terminal.out(help), 0)
  const options = read(args)
  if (Result.isFailure(options)) {
    return Effect.as(terminal.err(`chaos-proxy: ${options.failure}\nWrite chaos-proxy --help for help.`), usage)
  }
  const { duration, upstream } = options.success
  return Effect.matchEffect(TcpRelay.make(upstream), {
    onFailure: ({ message, reason }) =>
      Effect.as(terminal.err(`chaos-proxy: ${message}`), reason === "Unresolved" ? noHost : unavailable),
    onSuccess: (relay) =>
      Effect.gen(function*() {
        yield* terminal.out(`${relay.host}:${relay.port}`)
        yield* terminal.err(`chaos-proxy: passes on to ${upstream.host}:${upstream.port}, seed ${relay.seed}`)
        const obeyed = obey(relay, terminal)
        yield* duration === undefined
          ? obeyed
          : Effect.raceFirst(
            obeyed,
            Effect.andThen(Effect.sleep(duration), terminal.err("chaos-proxy: its time is over"))
          )
        return 0
      })
  })
}

const read = (args: ReadonlyArray<string>): Result.Result<Options, string> => {
  try {
    const { positionals, values } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        listen: { type: "string" },
        fault: { type: "string", multiple: true },
        off: { type: "boolean" },
        seed: { type: "string" },
        for: { type: "string" }
      }
    })
    const [target, ...others] = positionals
    if (target === undefined || others.length > 0) return Result.fail("name one server, as HOST:PORT")
    const [, host = "", port = ""] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(target)?.filter((part) =>
      part !== undefined
    ) ??
      []
    if (!isPort(port, 1)) return Result.fail(`${target} is no server: write HOST:PORT`)
    if (values.listen !== undefined && !isPort(values.listen, 0)) return Result.fail(`${values.listen} is no port`)
    if (values.seed !== undefined && !/^-?\d+$/.test(values.seed)) {
      return Result.fail(`${values.seed} is no whole number`)
    }
    const faults: Array<RelayFault.RelayFault> = []
    for (const text of values.fault ?? []) {
      const fault = RelayFault.parse(text)
      if (Result.isFailure(fault)) return Result.fail(fault.failure)
      if (faults.some(({ name }) => name === fault.success.name)) {
        return Result.fail(`two faults are called ${fault.success.name}: add "as NAME" to one of them`)
      }
      faults.push(values.off === true ? off(fault.success) : fault.success)
    }
    return Result.succeed({
      upstream: {
        host,
        port: Number(port),
        listen: values.listen === undefined ? undefined : Number(values.listen),
        seed: values.seed === undefined ? undefined : Number(values.seed),
        faults
      },
      duration: values.for === undefined ? undefined : faultText.duration(values.for)
    })
  } catch (error) {
    // What parseArgs and the reading of durations throw says what is wrong.
    return Result.fail(error instanceof Error ? error.message : String(error))
  }
}

const isPort = (text: string, least: number): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) >= least && Number(text) <= 65_535

const off = (fault: RelayFault.RelayFault): RelayFault.RelayFault => ({
  ...fault,
  when: { ...fault.when, enabled: false }
})

/** Follows the lines on standard input until one says `stop`. */
const obey = (relay: TcpRelay.Relay, { err, lines, out }: Terminal): Effect.Effect<void> => {
  const one = Effect.gen(function*() {
    const [command = "", ...words] = (yield* Queue.take(lines)).trim().split(/\s+/)
    const [name] = words
    switch (command) {
      case "":
        return true
      case "on":
      case "off": {
        const exit = yield* Effect.exit(relay.faults[command](name))
        yield* Exit.isSuccess(exit) ? out("ok") : err(`chaos-proxy: there is no fault ${name}`)
        return true
      }
      case "add": {
        const fault = RelayFault.parse(words.join(" "))
        if (Result.isFailure(fault)) {
          yield* err(`chaos-proxy: ${fault.failure}`)
          return true
        }
        const exit = yield* Effect.exit(relay.faults.add(fault.success))
        yield* Exit.isSuccess(exit)
          ? out("ok")
          : err(`chaos-proxy: a fault is called ${fault.success.name} already: add "as NAME"`)
        return true
      }
      case "counts":
        yield* out(JSON.stringify({ ...(yield* relay.counts), faults: yield* relay.faults.counts }))
        return true
      case "kill":
        yield* relay.faults.kill
        yield* out("ok")
        return true
      case "stop":
        return false
      default:
        yield* err(`chaos-proxy: ${command} is no command: write on, off, add, counts, kill or stop`)
        return true
    }
  })
  return Effect.asVoid(Effect.repeat(one, { while: (more) => more }))
}

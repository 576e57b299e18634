/**
 * A TBM Studio API for development and tests: faithful on the wire, faulty on request, with a record of all calls.
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import * as FaultRule from "./FaultRule.ts"
import * as Administration from "./internal/Administration.ts"
import * as Connection from "./internal/Connection.ts"
import * as Exchange from "./internal/Exchange.ts"
import * as Spool from "./internal/Spool.ts"
import * as State from "./internal/State.ts"
import * as SimulatorOptions from "./SimulatorOptions.ts"
import type * as SimulatorState from "./SimulatorState.ts"

/**
 * A running simulator and its controls, which it also serves below `/__simulator`.
 *
 * - `port`: the port that it listens on.
 * - `settings`: its options, with defaults.
 *
 * **Example** (A login that finds the service down)
 *
 * ```ts import.meta.vitest
 * import { Simulator } from "@effect-resilience/tbm-simulator"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const simulator = yield* Simulator.Simulator
 *   yield* simulator.addFaults([{ match: { operation: "login" }, times: 1, fault: { type: "status", status: 503 } }])
 *   const response = yield* Effect.promise(() =>
 *     fetch(`${simulator.url}/service/apikeylogin`, { method: "POST", body: "{}" })
 *   )
 *   return response.status
 * })
 * await Effect.runPromise(Effect.provide(program, Simulator.layer())) // => 503
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Simulator extends Context.Service<Simulator, {
  /** Its address, without a final slash: `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly port: number
  readonly settings: SimulatorOptions.Settings
  /** The calls and uploads so far. */
  readonly state: Effect.Effect<SimulatorState.SimulatorState>
  /** Appends rules to those in force. A malformed rule is a defect, a `RangeError`, and so is one too many. */
  readonly addFaults: (rules: ReadonlyArray<FaultRule.FaultRule>) => Effect.Effect<void>
  /** Removes all rules. */
  readonly clearFaults: Effect.Effect<void>
  /** Record, faults, tokens and counters as just started. A running call gets its response, but leaves no trace. */
  readonly reset: Effect.Effect<void>
  /** Expires all tokens, and returns how many were valid. */
  readonly expireTokens: Effect.Effect<number>
}>()("@effect-resilience/tbm-simulator/Simulator") {
  /** Runs a simulator while the layer lives. */
  static readonly layer = (options?: Options): Layer.Layer<Simulator, ListenError> =>
    Layer.effect(Simulator, make(options))
}

/**
 * Runs a simulator while the layer lives; the same as `layer` of the class.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: typeof Simulator.layer = Simulator.layer

/**
 * The address, the seed, and the {@link SimulatorOptions.SimulatorOptions}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends SimulatorOptions.SimulatorOptions {
  /** Default: 0, any free port. */
  readonly port?: number
  /** Default: `127.0.0.1`. */
  readonly host?: string
  /** The seed of tokens and of `probability`; both repeat after each reset. Default: drawn at random. */
  readonly seed?: number
}

/**
 * The simulator cannot listen on that host and port.
 *
 * @category errors
 * @since 0.1.0
 */
export class ListenError extends Data.TaggedError("ListenError")<{
  /** The address. */
  readonly host: string
  /** The port. */
  readonly port: number
  /** The system's code, such as `EADDRINUSE`. */
  readonly code: string
}> {
  override get message() {
    return `cannot listen on ${this.host}:${this.port}: ${this.code}`
  }
}

/**
 * Starts a simulator. Closing the scope stops listening and destroys all connections at once.
 *
 * **Details**
 *
 * Times (token life, delays, paces, `storedAt`) are those of the `Clock` at `make`, so under `TestClock` they move with
 * `TestClock.adjust`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (options?: Options) => Effect.Effect<Simulator["Service"], ListenError, Scope.Scope> = Effect
  .fnUntraced(function*(options: Options = {}) {
    const { host = "127.0.0.1", port = 0, seed, ...overrides } = options
    const settings: SimulatorOptions.Settings = { ...SimulatorOptions.defaults, ...overrides }
    const fibers = yield* FiberSet.make<void>()
    const run = yield* FiberSet.runtime(fibers)<never>()
    const spool = yield* Spool.make
    const fresh = State.make(settings, seed, { spool, fork: (work) => void run(work) })
    const state = yield* Ref.make(yield* fresh)
    yield* validated(settings.faults)

    const controls: Administration.Controls = {
      state: Effect.flatMap(Ref.get(state), State.record),
      addFaults: (rules) =>
        Effect.andThen(validated(rules), Effect.map(Ref.get(state), ({ faults }) => faults.add(rules))),
      clearFaults: Effect.map(Ref.get(state), ({ faults }) => {
        faults.clear()
      }),
      reset: Effect.gen(function*() {
        const { uploader } = yield* Ref.getAndSet(state, yield* fresh)
        for (const { parts } of uploader.sessions.values()) {
          for (const { path } of parts.values()) yield* spool.remove(path)
        }
      }),
      expireTokens: Effect.flatMap(Ref.get(state), ({ tokens }) => tokens.expireAll)
    }

    const serve = (connection: Connection.Connection): Effect.Effect<void, Connection.Disconnected> =>
      Administration.isFor(connection.target)
        ? Effect.flatMap(
          Administration.handle(settings, controls, connection),
          (response) => connection.send(response, settings.drainLimit)
        )
        : Effect.flatMap(Ref.get(state), (state) => Exchange.run(state, connection))

    const receive = (expectsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) => {
      const fiber = run(
        serve(Connection.make(request, response, expectsContinue)).pipe(
          Effect.catchTag("Disconnected", () => Effect.void),
          Effect.catchCause((cause) =>
            Effect.andThen(Effect.logError("tbm-simulator", cause), Effect.sync(() => request.socket.destroy()))
          )
        )
      )
      response.once("close", () => fiber.interruptUnsafe())
    }
    const server = createServer({ requestTimeout: 0 })
    server.on("request", receive(false))
    server.on("checkContinue", receive(true))
    const address = yield* listen(server, host, port)
    const authority = address.family === "IPv6" ? `[${address.address}]` : address.address
    const addFaults = (rules: ReadonlyArray<FaultRule.FaultRule>) =>
      Effect.flatMap(
        controls.addFaults(rules),
        (added) => added ? Effect.void : Effect.die(new RangeError(tooManyRules))
      )
    return { ...controls, addFaults, url: `http://${authority}:${address.port}`, port: address.port, settings }
  })

const tooManyRules = `At most ${FaultRule.maxRules} fault rules can be in force.`

const validated = (rules: ReadonlyArray<FaultRule.FaultRule>): Effect.Effect<void> => {
  const decoded = FaultRule.decode(rules)
  return Result.isFailure(decoded)
    ? Effect.die(new RangeError(`Not an array of fault rules: ${decoded.failure.message}`))
    : Effect.void
}

const listen = (server: Server, host: string, port: number) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly address: string; readonly family: string; readonly port: number }, ListenError>(
      (resume) => {
        server.once("error", (error: NodeJS.ErrnoException) => {
          resume(Effect.fail(new ListenError({ host, port, code: error.code ?? error.message })))
        })
        server.listen({ host, port }, () => {
          const address = server.address()
          resume(
            address === null || typeof address === "string"
              ? Effect.die(new Error(`unexpected address ${address}`))
              : Effect.succeed(address)
          )
        })
      }
    ),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

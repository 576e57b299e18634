/**
 * A TBM Studio API to develop and test against: faithful on the wire, misbehaving on order, keeping a record of what it
 * was sent.
 *
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
import * as World from "./internal/World.ts"
import * as Settings from "./Settings.ts"
import type * as SimulatorState from "./SimulatorState.ts"

/**
 * A running simulator and its controls, the same that it serves below `/__simulator`.
 *
 * **Example** (Uploading to a simulator in a test)
 *
 * ```ts
 * it.effect("replays once after a 401", () =>
 *   Effect.gen(function*() {
 *     const simulator = yield* Simulator
 *     yield* simulator.addFaults([{ match: { operation: "upload" }, times: 1, fault: { type: "expireTokens" } }])
 *     yield* uploadTo(simulator.url)
 *     assert.strictEqual((yield* simulator.state).logins, 2)
 *   }).pipe(Effect.provide(Simulator.layer())))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Simulator extends Context.Service<Simulator, {
  /** Where it listens, without a final slash: `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly port: number
  readonly settings: Settings.Settings
  /** What it has seen and stored so far. */
  readonly state: Effect.Effect<SimulatorState.SimulatorState>
  /** Puts rules into force behind those already there. A malformed rule is a defect, a `RangeError`, and so is one too many. */
  readonly addFaults: (rules: ReadonlyArray<FaultRule.FaultRule>) => Effect.Effect<void>
  /** Ends every rule. */
  readonly clearFaults: Effect.Effect<void>
  /** Record, faults, tokens and counters as just started. A call under way is answered, but leaves no trace. */
  readonly reset: Effect.Effect<void>
  /** Ends every token, and tells how many were still good. */
  readonly expireTokens: Effect.Effect<number>
}>()("@effect-resilience/tbm-simulator/Simulator") {
  /** A simulator for as long as the layer lives. */
  static readonly layer = (options?: Options): Layer.Layer<Simulator, ListenError> =>
    Layer.effect(Simulator, make(options))
}

/**
 * A simulator for as long as the layer lives: `Simulator.layer` of the namespace as well as of the class.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: typeof Simulator.layer = Simulator.layer

/**
 * Where to listen, the seed, and any of the {@link Settings.Settings}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Partial<Settings.Settings> {
  /** Default: 0, any free port. */
  readonly port?: number
  /** Default: `127.0.0.1`. */
  readonly host?: string
  /** Makes tokens and the dice of `probability` repeat, from the start and from each reset. Default: drawn anew. */
  readonly seed?: number
}

/**
 * The simulator cannot listen on that host and port.
 *
 * @category errors
 * @since 0.1.0
 */
export class ListenError extends Data.TaggedError("ListenError")<{
  readonly host: string
  readonly port: number
  /** The system's code, such as `EADDRINUSE`. */
  readonly code: string
}> {
  override get message() {
    return `cannot listen on ${this.host}:${this.port}: ${this.code}`
  }
}

/**
 * Starts a simulator. Closing the scope stops listening and destroys every connection at once.
 *
 * **Details**
 *
 * Times (token life, delays, paces, `storedAt`) are those of the `Clock` that it is made under, so under `TestClock` they
 * move with `TestClock.adjust`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (options?: Options) => Effect.Effect<Simulator["Service"], ListenError, Scope.Scope> = Effect
  .fnUntraced(function*(options: Options = {}) {
    const { host = "127.0.0.1", port = 0, seed, ...overrides } = options
    const settings: Settings.Settings = { ...Settings.defaults, ...overrides }
    const fibers = yield* FiberSet.make<void>()
    const run = yield* FiberSet.runtime(fibers)<never>()
    const spool = yield* Spool.make
    const fresh = World.make(settings, seed, { spool, fork: (work) => void run(work) })
    const world = yield* Ref.make(yield* fresh)
    yield* validated(settings.faults)

    const controls: Administration.Controls = {
      state: Effect.flatMap(Ref.get(world), World.state),
      addFaults: (rules) =>
        Effect.andThen(validated(rules), Effect.map(Ref.get(world), ({ faults }) => faults.add(rules))),
      clearFaults: Effect.map(Ref.get(world), ({ faults }) => {
        faults.clear()
      }),
      reset: Effect.gen(function*() {
        const { uploader } = yield* Ref.getAndSet(world, yield* fresh)
        for (const { parts } of uploader.sessions.values()) {
          for (const { path } of parts.values()) yield* spool.remove(path)
        }
      }),
      expireTokens: Effect.flatMap(Ref.get(world), ({ tokens }) => tokens.expireAll)
    }

    const serve = (connection: Connection.Connection): Effect.Effect<void, Connection.Disconnected> =>
      Administration.isFor(connection.target)
        ? Effect.flatMap(
          Administration.answer(settings, controls, connection),
          (answer) => connection.send(answer, settings.drainLimit)
        )
        : Effect.flatMap(Ref.get(world), (world) => Exchange.run(world, connection))

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

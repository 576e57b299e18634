import * as Direct from "@effect-resilience/kernel/Direct"
import type * as Timer from "@effect-resilience/kernel/Timer"
import * as Priority from "@effect-resilience/limit/Priority"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type { VirtualTime } from "../VirtualTime.ts"
import type { Exchange } from "./errors.ts"
import { NoResponse, ServerFailed } from "./errors.ts"
import type { Request } from "./request.ts"
import type { Server } from "./server.ts"

/** A request to a server. */
export const requestTo = (
  server: Server,
  time: VirtualTime,
  timeout: Duration.Duration | undefined,
  sent: () => void
): Exchange => new Requests(server, time, timeout === undefined ? Infinity : Duration.toMillis(timeout), sent)

type Failure = ServerFailed | NoResponse

const succeeded: Exit.Exit<void> = Exit.void

const serverFailed: Exit.Exit<never, Failure> = /* @__PURE__ */ Exit.fail(/* @__PURE__ */ new ServerFailed())

const noResponse: Exit.Exit<never, Failure> = /* @__PURE__ */ Exit.fail(/* @__PURE__ */ new NoResponse())

const interrupted: Exit.Exit<never> = /* @__PURE__ */ Exit.interrupt()

/** An effect that a limit of time can run without a fiber: a storm is made of them. */
class Requests extends Effectable.Class<void, Failure> implements Direct.Direct<void, Failure> {
  readonly server: Server
  readonly time: VirtualTime
  readonly timeoutMillis: number
  readonly sent: () => void

  constructor(server: Server, time: VirtualTime, timeoutMillis: number, sent: () => void) {
    super()
    this.server = server
    this.time = time
    this.timeoutMillis = timeoutMillis
    this.sent = sent
  }

  [Direct.direct](context: Context.Context<never>): Sent {
    const { server, time, timeoutMillis } = this
    this.sent()
    // A server that calls no other does not look at it.
    const priority = server.calls ? Context.get(context, Priority.Current) : "default"
    const request = new Sent(server, priority)
    if (timeoutMillis !== Infinity) request.limit = time.at(timeoutMillis, () => request.leave(noResponse))
    server.receive(request)
    return request
  }

  override asEffect(): Effect.Effect<void, Failure> {
    return Direct.wait(this)
  }
}

/** A request, for its server and for its caller. */
class Sent implements Request, Direct.Running<void, Failure> {
  position = -1
  received = 0
  limit: Timer.Wait | undefined = undefined
  readonly priority: string
  private readonly server: Server
  private exit: Exit.Exit<void, Failure> | undefined = undefined
  private observer: ((exit: Exit.Exit<void, Failure>) => void) | undefined = undefined

  constructor(server: Server, priority: string) {
    this.server = server
    this.priority = priority
  }

  respond(well: boolean): void {
    this.end(well ? succeeded : serverFailed)
  }

  pollUnsafe(): Exit.Exit<void, Failure> | undefined {
    return this.exit
  }

  addObserver(observer: (exit: Exit.Exit<void, Failure>) => void): void {
    // A server may respond as soon as it is asked.
    if (this.exit === undefined) this.observer = observer
    else observer(this.exit)
  }

  interruptUnsafe(): void {
    this.leave(interrupted)
  }

  /** The caller goes. */
  leave(exit: Exit.Exit<never, Failure>): void {
    if (this.exit !== undefined) return
    this.server.leave(this)
    this.end(exit)
  }

  private end(exit: Exit.Exit<void, Failure>): void {
    if (this.exit !== undefined) return
    this.exit = exit
    this.limit?.cancel()
    const { observer } = this
    this.observer = undefined
    observer?.(exit)
  }
}

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { VirtualTime } from "../VirtualTime.ts"
import type { Exchange } from "./errors.ts"
import { noResponse, serverFailed } from "./errors.ts"
import type { Request as Received } from "./request.ts"
import type { Server } from "./server.ts"

/** A request to a server. */
export const requestTo = (
  server: Server,
  time: VirtualTime,
  timeout: Duration.Duration | undefined,
  sent: () => void
): Exchange => {
  const timeoutMillis = timeout === undefined ? Infinity : Duration.toMillis(timeout)
  return Effect.callback((resume) => {
    sent()
    const limit = timeoutMillis === Infinity ? undefined : time.at(timeoutMillis, () => {
      server.leave(received)
      resume(noResponse)
    })
    const received: Received = {
      position: -1,
      received: 0,
      respond: (succeeded) => {
        limit?.cancel()
        received.respond = undefined
        resume(succeeded ? Effect.void : serverFailed)
      }
    }
    server.receive(received)
    return Effect.sync(() => {
      limit?.cancel()
      server.leave(received)
    })
  })
}

/** One request and its response, down to the socket: reads at a pace, responds in pieces, breaks the connection. */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Response } from "./Response.ts"

/** The client closed the connection. */
export class Disconnected extends Data.TaggedError("Disconnected")<{}> {}

/** Bytes per second; undefined is as fast as possible. */
export type Pace = number | undefined

export interface Connection {
  readonly method: string
  readonly target: string
  /** A request header; undefined if it is absent or empty. */
  readonly header: (name: string) => string | undefined
  readonly headers: { readonly [name: string]: string }
  /** As declared; undefined for a chunked body. */
  readonly contentLength: number | undefined
  /** The next piece of the body; undefined at its end. */
  readonly pull: (pace?: Pace) => Effect.Effect<Uint8Array | undefined, Disconnected>
  /** Reads and drops the body, up to about `limit` bytes. True if the body ended within them. */
  readonly drain: (limit: number, pace?: Pace) => Effect.Effect<boolean, Disconnected>
  /** Sends the response, then drains the rest of the request's body. Cuts the connection if more than `drainLimit` is left. */
  readonly send: (response: Response, drainLimit: number, pace?: Pace) => Effect.Effect<void, Disconnected>
  /** Sends the response's head and half of its body. */
  readonly sendHalf: (response: Response) => Effect.Effect<void, Disconnected>
  /** Closes the connection in an orderly way, even if the response is incomplete. */
  readonly close: Effect.Effect<void>
  /** Breaks the connection with a TCP reset. */
  readonly reset: Effect.Effect<void>
}

export const make = (incoming: IncomingMessage, outgoing: ServerResponse, expectsContinue: boolean): Connection => {
  const paused = makeBody(incoming, () => {
    if (expectsContinue && !outgoing.headersSent) outgoing.writeContinue()
  })
  const reading = makeMeter()
  const writing = makeMeter()

  const pull = (pace?: Pace) =>
    Effect.tap(paused, (piece) => piece === undefined ? Effect.void : reading(piece.length, pace))

  const drain = Effect.fnUntraced(function*(limit: number, pace?: Pace) {
    let drained = 0
    while (drained <= limit) {
      const piece = yield* pull(pace)
      if (piece === undefined) return true
      drained += piece.length
    }
    return false
  })

  const writeHead = (response: Response, length: number) => {
    const headers: Record<string, string | Array<string>> = {}
    if (response.status !== 204 && response.status !== 304) headers["content-length"] = String(length)
    for (const [name, value] of Object.entries(response.headers)) {
      headers[name.toLowerCase()] = typeof value === "string" ? value : [...value]
    }
    if ("transfer-encoding" in headers) delete headers["content-length"]
    outgoing.writeHead(response.status, headers)
  }

  const write = (bytes: Uint8Array): Effect.Effect<void, Disconnected> =>
    Effect.callback((resume) => {
      if (outgoing.destroyed) return resume(Effect.fail(new Disconnected()))
      const onClose = () => resume(Effect.fail(new Disconnected()))
      outgoing.once("close", onClose)
      outgoing.flushHeaders()
      outgoing.write(bytes, () => {
        outgoing.off("close", onClose)
        resume(Effect.void)
      })
    })

  const end = (bytes?: Uint8Array): Effect.Effect<void, Disconnected> =>
    Effect.callback((resume) => {
      if (outgoing.destroyed) return resume(Effect.fail(new Disconnected()))
      outgoing.once("close", () => resume(Effect.fail(new Disconnected())))
      outgoing.end(bytes, () => resume(Effect.void))
    })

  return {
    method: incoming.method ?? "GET",
    target: incoming.url ?? "/",
    header: (name) => {
      const value = incoming.headers[name]
      const text = Array.isArray(value) ? value.join(", ") : value
      return text === "" ? undefined : text
    },
    headers: Object.fromEntries(
      Object.entries(incoming.headers).map((
        [name, value]
      ) => [name, Array.isArray(value) ? value.join(", ") : value ?? ""])
    ),
    contentLength: incoming.headers["content-length"] === undefined
      ? undefined
      : Number(incoming.headers["content-length"]),
    pull,
    drain,
    send: Effect.fnUntraced(function*(response, drainLimit, pace) {
      if (outgoing.destroyed) return yield* new Disconnected()
      const bytes = Buffer.from(response.body)
      writeHead(response, bytes.length)
      if (pace !== undefined) {
        // The bytes of a twentieth of a second at a time.
        const step = Math.max(1, Math.floor(pace / 20))
        for (let at = 0; at < bytes.length; at += step) {
          const piece = bytes.subarray(at, at + step)
          yield* write(piece)
          yield* writing(piece.length, pace)
        }
      } else if (incoming.complete) {
        return yield* end(bytes)
      } else {
        yield* write(bytes)
      }
      // The response ends after the drain: at its end, Node would cut a connection without keep-alive before the client has read it.
      const complete = incoming.complete || (yield* drain(drainLimit, pace))
      if (complete) yield* end()
      else incoming.socket.destroy()
    }),
    sendHalf: (response) =>
      Effect.suspend(() => {
        const bytes = Buffer.from(response.body)
        if (outgoing.destroyed) return Effect.fail(new Disconnected())
        writeHead(response, bytes.length)
        return write(bytes.subarray(0, bytes.length >> 1))
      }),
    close: Effect.callback((resume) => {
      const { socket } = incoming
      if (socket.destroyed) return resume(Effect.void)
      socket.once("close", () => resume(Effect.void))
      socket.end(() => socket.destroy())
    }),
    reset: Effect.sync(() => {
      incoming.socket.resetAndDestroy()
    })
  }
}

/** Pulls a body piece by piece. Without a pull, only Node's buffer is read from the socket. */
const makeBody = (
  incoming: IncomingMessage,
  onFirst: () => void
): Effect.Effect<Uint8Array | undefined, Disconnected> => {
  let started = false
  let wake: (() => void) | undefined
  const start = () => {
    started = true
    onFirst()
    const notify = () => wake?.()
    incoming.on("readable", notify)
    incoming.on("end", notify)
    incoming.on("close", notify)
    incoming.on("error", notify)
  }
  return Effect.callback((resume) => {
    const attempt = () => {
      const piece: Uint8Array | null = incoming.read()
      if (piece !== null) {
        wake = undefined
        resume(Effect.succeed(piece))
      } else if (incoming.readableEnded) {
        wake = undefined
        resume(Effect.succeed(undefined))
      } else if (incoming.destroyed) {
        wake = undefined
        resume(Effect.fail(new Disconnected()))
      }
    }
    if (!started) start()
    wake = attempt
    attempt()
    return Effect.sync(() => {
      wake = undefined
    })
  })
}

/** Waits until that many bytes are due at the pace. */
const makeMeter = () => {
  let due = Number.NEGATIVE_INFINITY
  return (bytes: number, pace: Pace): Effect.Effect<void> =>
    pace === undefined
      ? Effect.void
      : Effect.flatMap(Clock.currentTimeMillis, (now) => {
        due = Math.max(due, now) + bytes * 1000 / pace
        return due > now ? Effect.sleep(due - now) : Effect.void
      })
}

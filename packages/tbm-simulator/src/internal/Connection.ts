/** One request and its response, down to the socket: reading at a pace, answering in pieces, breaking off. */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Answer } from "./Answer.ts"

/** The client went away. */
export class Disconnected extends Data.TaggedError("Disconnected")<{}> {}

/** Bytes per second; undefined is as fast as can be. */
export type Pace = number | undefined

export interface Connection {
  readonly method: string
  readonly target: string
  /** A request header, or undefined when absent or empty. */
  readonly header: (name: string) => string | undefined
  readonly headers: { readonly [name: string]: string }
  /** As declared; undefined for a chunked body. */
  readonly contentLength: number | undefined
  /** The next piece of the body; undefined at its end. */
  readonly pull: (pace?: Pace) => Effect.Effect<Uint8Array | undefined, Disconnected>
  /** Reads and drops the body, up to about `limit` bytes. Tells whether that was all of it. */
  readonly drain: (limit: number, pace?: Pace) => Effect.Effect<boolean, Disconnected>
  /** Answers. What of the body is not read yet is drained afterwards, then the connection is cut if there is more. */
  readonly send: (answer: Answer, drainLimit: number, pace?: Pace) => Effect.Effect<void, Disconnected>
  /** Sends the answer's head and half of its body. */
  readonly sendHalf: (answer: Answer) => Effect.Effect<void, Disconnected>
  /** Closes in good order, whatever was promised. */
  readonly close: Effect.Effect<void>
  /** Breaks the connection with a TCP reset. */
  readonly reset: Effect.Effect<void>
}

export const make = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Connection => {
  const paused = makeBody(request, () => {
    if (expectsContinue && !response.headersSent) response.writeContinue()
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

  const writeHead = (answer: Answer, length: number) => {
    const headers: Record<string, string | Array<string>> = {}
    if (answer.status !== 204 && answer.status !== 304) headers["content-length"] = String(length)
    for (const [name, value] of Object.entries(answer.headers)) {
      headers[name.toLowerCase()] = typeof value === "string" ? value : [...value]
    }
    if ("transfer-encoding" in headers) delete headers["content-length"]
    response.writeHead(answer.status, headers)
  }

  const write = (bytes: Uint8Array): Effect.Effect<void, Disconnected> =>
    Effect.callback((resume) => {
      if (response.destroyed) return resume(Effect.fail(new Disconnected()))
      const onClose = () => resume(Effect.fail(new Disconnected()))
      response.once("close", onClose)
      response.flushHeaders()
      response.write(bytes, () => {
        response.off("close", onClose)
        resume(Effect.void)
      })
    })

  const end = (bytes?: Uint8Array): Effect.Effect<void, Disconnected> =>
    Effect.callback((resume) => {
      if (response.destroyed) return resume(Effect.fail(new Disconnected()))
      response.once("close", () => resume(Effect.fail(new Disconnected())))
      response.end(bytes, () => resume(Effect.void))
    })

  return {
    method: request.method ?? "GET",
    target: request.url ?? "/",
    header: (name) => {
      const value = request.headers[name]
      const text = Array.isArray(value) ? value.join(", ") : value
      return text === "" ? undefined : text
    },
    headers: Object.fromEntries(
      Object.entries(request.headers).map((
        [name, value]
      ) => [name, Array.isArray(value) ? value.join(", ") : value ?? ""])
    ),
    contentLength: request.headers["content-length"] === undefined
      ? undefined
      : Number(request.headers["content-length"]),
    pull,
    drain,
    send: Effect.fnUntraced(function*(answer, drainLimit, pace) {
      if (response.destroyed) return yield* new Disconnected()
      const bytes = Buffer.from(answer.body)
      writeHead(answer, bytes.length)
      if (pace !== undefined) {
        // A twentieth of a second's worth at a time.
        const step = Math.max(1, Math.floor(pace / 20))
        for (let at = 0; at < bytes.length; at += step) {
          const piece = bytes.subarray(at, at + step)
          yield* write(piece)
          yield* writing(piece.length, pace)
        }
      } else if (request.complete) {
        return yield* end(bytes)
      } else {
        yield* write(bytes)
      }
      // The response is ended only now: node would cut a connection that is not kept alive before the client has read it.
      const complete = request.complete || (yield* drain(drainLimit, pace))
      if (complete) yield* end()
      else request.socket.destroy()
    }),
    sendHalf: (answer) =>
      Effect.suspend(() => {
        const bytes = Buffer.from(answer.body)
        if (response.destroyed) return Effect.fail(new Disconnected())
        writeHead(answer, bytes.length)
        return write(bytes.subarray(0, bytes.length >> 1))
      }),
    close: Effect.callback((resume) => {
      const { socket } = request
      if (socket.destroyed) return resume(Effect.void)
      socket.once("close", () => resume(Effect.void))
      socket.end(() => socket.destroy())
    }),
    reset: Effect.sync(() => {
      request.socket.resetAndDestroy()
    })
  }
}

/** Pulls a body piece by piece. Nothing is read from the socket beyond node's buffer until somebody pulls. */
const makeBody = (
  request: IncomingMessage,
  onFirst: () => void
): Effect.Effect<Uint8Array | undefined, Disconnected> => {
  let started = false
  let wake: (() => void) | undefined
  const start = () => {
    started = true
    onFirst()
    const notify = () => wake?.()
    request.on("readable", notify)
    request.on("end", notify)
    request.on("close", notify)
    request.on("error", notify)
  }
  return Effect.callback((resume) => {
    const attempt = () => {
      const piece: Uint8Array | null = request.read()
      if (piece !== null) {
        wake = undefined
        resume(Effect.succeed(piece))
      } else if (request.readableEnded) {
        wake = undefined
        resume(Effect.succeed(undefined))
      } else if (request.destroyed) {
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

/** Waits until so many bytes are due. */
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

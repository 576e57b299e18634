import { errors } from "@effect/platform-node/Undici"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpBody from "effect/http/HttpBody"
import * as Stream from "effect/Stream"
import { Readable } from "node:stream"

/**
 * A streamed body for undici. It pulls a chunk when undici has room, which is when the socket has taken the previous one, and not
 * earlier: Effect's own adapter reads ahead, into memory that is still in use.
 */
export const make = (body: HttpBody.Stream): Effect.Effect<StreamedBody> =>
  Effect.map(Effect.context<never>(), (context) => {
    let fiber: Fiber.Fiber<void, unknown> | undefined
    let wanted = false
    const taken: Mutable<StreamedBody["taken"]> = { bytes: 0, ended: false, failure: undefined }
    const { contentLength } = body
    let resumeWaiting: ((waiting: Effect.Effect<void>) => void) | undefined
    const room = Effect.suspend(() => wanted ? Effect.void : waiting)
    const waiting = Effect.callback<void>((resume) => {
      resumeWaiting = resume
    })
    const readable = new Readable({
      highWaterMark: 0,
      read() {
        wanted = true
        if (fiber === undefined) fiber = start()
        else resumeWaiting?.(Effect.void)
      },
      destroy(error, callback) {
        if (fiber === undefined) callback(error)
        else Effect.runFork(Fiber.interrupt(fiber)).addObserver(() => callback(error))
      }
    })
    const start = () => {
      const fiber = Effect.runForkWith(context)(Stream.runForEachArray(body.stream, (chunks) => {
        wanted = false
        for (const chunk of chunks) {
          if (contentLength !== undefined && taken.bytes + chunk.byteLength > contentLength) return wrongLength
          taken.bytes += chunk.byteLength
          readable.push(chunk)
        }
        return room
      }))
      fiber.addObserver((exit) => {
        if (exit._tag === "Success" && (contentLength === undefined || taken.bytes === contentLength)) {
          taken.ended = true
          readable.push(null)
          return
        }
        const failure = exit._tag === "Failure" ? errorOf(exit.cause) : new errors.RequestContentLengthMismatchError()
        taken.failure = failure
        readable.destroy(failure)
      })
      return fiber
    }
    // Over HTTP/2, undici destroys it with an error after it stopped listening.
    readable.on("error", () => {})
    return new StreamedBody(readable, body, taken)
  })

// undici announces a length of 0 for a body that yields nothing, whatever length it was given, and the server accepts it.
const wrongLength = Effect.suspend(() => Effect.fail(new errors.RequestContentLengthMismatchError()))

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

/** Logs as the stream that it was made of: a Readable's insides do not belong into a log. */
export class StreamedBody extends HttpBody.Raw {
  readonly readable: Readable
  /** How much undici has taken, and why it gets no more. */
  readonly taken: { readonly bytes: number; readonly ended: boolean; readonly failure: Error | undefined }
  private readonly stream: HttpBody.Stream
  constructor(readable: Readable, stream: HttpBody.Stream, taken: StreamedBody["taken"]) {
    super(readable, stream.contentType, stream.contentLength)
    this.readable = readable
    this.taken = taken
    this.stream = stream
  }
  override toJSON(): unknown {
    return this.stream.toJSON()
  }
}

const errorOf = (cause: Cause.Cause<unknown>): Error => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error : new Error("the request's body failed", { cause: error })
}

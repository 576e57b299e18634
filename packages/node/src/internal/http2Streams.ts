import type { Dispatcher } from "@effect/platform-node/Undici"
import * as Predicate from "effect/Predicate"
import { channel } from "node:diagnostics_channel"
import { type ClientHttp2Stream, constants } from "node:http2"
import type { Socket } from "node:net"
import { Duplex } from "node:stream"
import * as Timers from "node:timers"

/** Hears of the stream of HTTP/2 that carries its request. */
export interface Owner extends Dispatcher.DispatchHandler {
  onStream?(): void
  /** The server will not read it: the request waits for another stream. */
  onStreamRejected?(): void
}

/** Mends the streams of HTTP/2 over a socket. */
export const mendOver = (socket: Socket): void => {
  Object.assign(socket, { [mender]: self })
  if (listening) return
  listening = true
  channel("http2.client.stream.created").subscribe((message) => {
    const stream = Predicate.hasProperty(message, "stream") ? message.stream : undefined
    // The session's socket is a proxy, which has no properties and gets them.
    if (isStream(stream) && stream.session !== undefined && Reflect.get(stream.session.socket, mender) === self) {
      const owner = starting.pop()
      mend(stream, owner)
      owner?.onStream?.()
    }
  })
}

const mender = Symbol.for("@effect-resilience/node/http2Streams/mender")
// Another copy of this package mends its own.
const self = {}
let listening = false

const isStream = (stream: unknown): stream is ClientHttp2Stream => stream instanceof Duplex && "rstCode" in stream

/**
 * Who hears of the stream of a request that starts now: where the connection speaks HTTP/2, undici creates it before it returns to
 * the event loop. Before that it may begin to read the body, and what makes the body may start another request.
 */
export const start = (owner: Owner): void => {
  if (starting.push(owner) === 1) queueMicrotask(started)
}

const starting: Array<Owner> = []
const started = () => {
  starting.length = 0
}

/**
 * undici (8.12, 8.13) takes for granted what Node.js (22 to 26) does not do:
 *
 * - That a stream which it closes and destroys is reset. Within a callback of nghttp2 the reset is put off, and gets lost when the
 *   stream is destroyed. nghttp2 then asks for the rest of its body and gets nothing, without end: the process never leaves
 *   `nghttp2_session_mem_send`. A stream that is closed without an error, after its body was written, puts the reset off too.
 * - That `end` comes after the server has ended the stream. It also comes after the server has reset it with `CANCEL` or `NO_ERROR`.
 * - That a closed stream emits no error. It does at the end of its connection, which would end the process.
 * - That a stream does not flow before its response is announced. It does as soon as undici listens to the pieces of a streamed body
 *   that it sends, since they are "data" too. What comes at once with the head of the response is then lost.
 */
const mend = (stream: ClientHttp2Stream, owner: Owner | undefined): void => {
  const { close, destroy, push } = stream
  // Microtasks run within the callbacks too.
  const reset = (code: number, andThen: () => void) => {
    Timers.setImmediate(() => {
      if (stream.session?.destroyed === false) close.call(stream, code)
      andThen()
    })
  }
  stream.close = (code) => {
    if (code === constants.NGHTTP2_REFUSED_STREAM) owner?.onStreamRejected?.()
    reset(code || constants.NGHTTP2_CANCEL, ignore)
  }
  stream.destroy = (error) => {
    // Before it has begun, after its end, and at the end of its connection there is nothing to reset.
    if (stream.pending || stream.closed || stream.session?.destroyed !== false) return destroy.call(stream, error)
    reset(constants.NGHTTP2_CANCEL, () => destroy.call(stream, error))
    return stream
  }
  let ended = false
  stream.push = (chunk, encoding) => {
    const cut = chunk === null && !ended && stream.closed
    ended ||= chunk === null
    if (!cut) return push.call(stream, chunk, encoding)
    process.nextTick(() => destroy.call(stream, new Cut()))
    return false
  }
  stream.on("error", () => {
    if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) owner?.onStreamRejected?.()
  })
  // That of `CONNECT` is given away, and read by its receiver.
  if (stream.sentHeaders?.[constants.HTTP2_HEADER_METHOD] !== "CONNECT") {
    stream.pause()
    stream.once("response", () => stream.resume())
  }
}

class Cut extends Error {
  readonly code = "ERR_HTTP2_STREAM_ERROR"
  constructor() {
    super("the server reset the stream before the end of the response")
  }
}

const ignore = () => {}

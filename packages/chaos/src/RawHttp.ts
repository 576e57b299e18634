/**
 * HTTP/1.1 as bytes, for servers that do what no HTTP library allows.
 *
 * **Example** (A response that is shorter than its content-length)
 *
 * ```ts import.meta.vitest
 * import { RawHttp } from "@effect-resilience/chaos"
 *
 * RawHttp.response({ body: "ok", contentLength: 3 }) // => "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Connection } from "./Connection.ts"

/**
 * A response, written byte by byte as it is given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Response {
  /** Default 200. */
  readonly status?: number | undefined
  /** Sent as they are, line breaks included. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Text; default none. */
  readonly body?: string | undefined
  /** The header's value; default the body's length in bytes. `"none"` omits the header. */
  readonly contentLength?: number | "none" | undefined
}

/**
 * A response as text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const response = (options: Response = {}): string => {
  const { body = "", contentLength = encoder.encode(body).length, headers = {}, status = 200 } = options
  const lines = [
    `HTTP/1.1 ${status} ${status === 200 ? "OK" : "Status"}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(contentLength === "none" ? [] : [`content-length: ${contentLength}`])
  ]
  return `${lines.join("\r\n")}\r\n\r\n${body}`
}

/**
 * A request as it arrived: `head` up to the empty line, header names in lower case, `body` without its framing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly head: string
  /** As it was sent, such as `GET`. */
  readonly method: string
  /** The request target, with its query. */
  readonly path: string
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/**
 * Reads the requests of a connection. Each run of the result returns the next one, or `undefined` if the connection ends
 * first.
 *
 * @category receiving
 * @since 0.1.0
 */
export const requests = (connection: Connection): Effect.Effect<Request | undefined> => {
  const incoming = new Incoming(connection)
  return Effect.gen(function*() {
    const head: Array<string> = []
    for (let line = yield* incoming.line; line !== ""; line = yield* incoming.line) {
      if (line === undefined) return undefined
      head.push(line)
    }
    const [first = "", ...fields] = head
    const [method = "", path = ""] = first.split(" ")
    const headers = Object.fromEntries(fields.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }))
    const body = headers["transfer-encoding"] === "chunked"
      ? yield* incoming.chunked
      : yield* incoming.bytes(Number(headers["content-length"] ?? 0))
    return body === undefined ? undefined : { head: head.join("\r\n"), method, path, headers, body }
  })
}

class Incoming {
  private rest = new Uint8Array(0)
  private readonly connection: Connection

  constructor(connection: Connection) {
    this.connection = connection
  }

  /** The next `length` bytes. */
  bytes(length: number): Effect.Effect<Uint8Array | undefined> {
    return Effect.gen({ self: this }, function*() {
      const parts: Array<Uint8Array> = []
      let missing = length
      while (missing > this.rest.length) {
        parts.push(this.rest)
        missing -= this.rest.length
        const more = yield* this.connection.receive
        if (more === undefined) return undefined
        this.rest = new Uint8Array(more)
      }
      parts.push(this.rest.subarray(0, missing))
      this.rest = this.rest.subarray(missing)
      return concat(parts)
    })
  }

  get line(): Effect.Effect<string | undefined> {
    return Effect.gen({ self: this }, function*() {
      for (let seen = 0;;) {
        const end = this.rest.indexOf(lineFeed, seen)
        if (end >= 0) {
          const line = decoder.decode(this.rest.subarray(0, end))
          this.rest = this.rest.subarray(end + 1)
          return line.replace(/\r$/, "")
        }
        seen = this.rest.length
        const more = yield* this.connection.receive
        if (more === undefined) return undefined
        this.rest = concat([this.rest, more])
      }
    })
  }

  get chunked(): Effect.Effect<Uint8Array | undefined> {
    return Effect.gen({ self: this }, function*() {
      const parts: Array<Uint8Array> = []
      while (true) {
        const size = yield* this.line
        const part = size === undefined ? undefined : yield* this.bytes(Number.parseInt(size, 16))
        if (part === undefined || (yield* this.line) === undefined) return undefined
        if (part.length === 0) return concat(parts)
        parts.push(part)
      }
    })
  }
}

const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const lineFeed = 10
const encoder = /* @__PURE__ */ new TextEncoder()
const decoder = /* @__PURE__ */ new TextDecoder()

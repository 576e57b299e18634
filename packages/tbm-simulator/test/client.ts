/** A bare HTTP client over node:http, so that the tests see each header, status and reset as it is on the wire. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { type IncomingHttpHeaders, request as startRequest } from "node:http"

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly json: unknown
}

/** The connection broke; `code` is the system's, `status` and `body` are what came of the response. */
export class Broken extends Data.TaggedError("Broken")<{
  readonly code: string
  readonly status: number | undefined
  readonly body: string
}> {}

export interface Request {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array | Iterable<Uint8Array>
}

export const call = (url: string, { body = "", headers = {}, method = "GET" }: Request = {}): Effect.Effect<
  Reply,
  Broken
> =>
  Effect.callback((resume) => {
    const target = new URL(url)
    const received = { status: undefined as number | undefined, body: "" }
    const broken = (error: NodeJS.ErrnoException) =>
      resume(Effect.fail(new Broken({ code: error.code ?? error.message, ...received })))
    const outgoing = startRequest({
      host: target.hostname,
      port: target.port,
      path: url.slice(target.origin.length) || "/",
      method,
      headers,
      agent: false
    })
    outgoing.on("error", broken)
    outgoing.on("response", (incoming) => {
      received.status = incoming.statusCode
      incoming.setEncoding("utf8")
      incoming.on("data", (text: string) => {
        received.body += text
      })
      incoming.on("error", broken)
      incoming.on("end", () =>
        resume(Effect.succeed({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: received.body,
          json: parsed(received.body)
        })))
    })
    if (typeof body === "string" || body instanceof Uint8Array) {
      outgoing.end(body)
    } else {
      const pieces = body[Symbol.iterator]()
      const next = () => {
        for (let piece = pieces.next(); !outgoing.destroyed; piece = pieces.next()) {
          if (piece.done === true) {
            outgoing.end()
            return
          }
          if (!outgoing.write(piece.value)) {
            outgoing.once("drain", next)
            return
          }
        }
      }
      next()
    }
    return Effect.sync(() => outgoing.destroy())
  })

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const sampleKeys = { keyAccess: "sim-public-key", keySecret: "sim-secret-key" }

export const login = (url: string, keys: unknown = sampleKeys) =>
  call(`${url}/service/apikeylogin`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(keys)
  })

export interface Session {
  readonly url: string
  readonly headers: Record<string, string>
}

/** Logs in, looks `main` up, and returns the headers for all further calls. */
export const logIn = Effect.fnUntraced(function*(url: string, keys: unknown = sampleKeys) {
  const { headers } = yield* login(url, keys)
  const token = headers["apptio-opentoken"]
  if (typeof token !== "string") return yield* Effect.die(new Error("no token"))
  const base = { "apptio-opentoken": token, "app-type": "Flagship", "app-version": "NA" }
  const { json } = yield* call(`${url}/api/environment/acme.com/main`, { headers: base })
  const session: Session = { url, headers: { ...base, "apptio-current-environment": idOf(json) } }
  return session
})

const idOf = (json: unknown): string => typeof json === "object" && json !== null && "id" in json ? String(json.id) : ""

export const v1 = "/biit/api/v1/acme.com/Cost%20Transparency/GL%20Data/January:2024/"

export const boundary = "a-boundary"

export const part = (name: string, fileName: string | undefined, content: string | Uint8Array): Buffer =>
  Buffer.concat([
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${
        fileName === undefined ? "" : `; filename="${fileName}"`
      }\r\n\r\n`
    ),
    Buffer.from(content),
    Buffer.from("\r\n")
  ])

export const form = (...parts: ReadonlyArray<Uint8Array>): Buffer =>
  Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)])

export interface UploadOptions {
  readonly path?: string
  readonly fileName?: string
  readonly content?: string | Uint8Array
  readonly body?: string | Uint8Array | Iterable<Uint8Array>
  /** Override the session's headers; an empty value removes one. */
  readonly headers?: Record<string, string>
}

export const upload = (session: Session, options: UploadOptions = {}) => {
  const { content = "a,b\n1,2\n", fileName = "data.csv", path = `${v1}overwrite` } = options
  const headers = Object.entries({
    ...session.headers,
    "content-type": `multipart/form-data; boundary=${boundary}`,
    ...options.headers
  })
  return call(session.url + path, {
    method: "POST",
    headers: Object.fromEntries(headers.filter(([, value]) => value !== "")),
    body: options.body ?? form(part("myfile", fileName, content))
  })
}

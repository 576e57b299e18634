/** Serves the page on loopback, for this machine's browser alone. */
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { spawn } from "node:child_process"
import * as http from "node:http"
import { fileURLToPath } from "node:url"
import { exit, Failure } from "./failure.ts"
import * as input from "./input.ts"

export const config = {
  port: Flag.Int("port").pipe(
    Flag.withDescription("Of the page; default 0, any free one"),
    Flag.withDefault(0),
    Flag.filter((port) => port >= 0 && port <= 65_535, (port) => `${port} is no port`)
  ),
  open: Flag.Boolean("open").pipe(Flag.withDescription("Opens the page in a browser"), Flag.withDefault(false)),
  file: Argument.String("FILE").pipe(
    Argument.withDescription("A description or simulation that the page begins with, JSON or YAML"),
    Argument.optional
  )
}

// Found from the sources as from `dist`.
const pageFile = fileURLToPath(new URL("../../../dist/playground.html", import.meta.url))

/** No more than a page needs; what it may run is told in the page itself. */
const headers = {
  "cache-control": "no-store",
  "content-security-policy": "frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

/** The most that a page takes. */
const maxBytes = 64_000

export const serve = Effect.fnUntraced(function*({ file, open, port }: {
  readonly file: Option.Option<string>
  readonly open: boolean
  readonly port: number
}) {
  const files = yield* FileSystem.FileSystem
  const page = yield* Effect.mapError(
    files.readFileString(pageFile),
    () => new Failure({ message: `${pageFile} is missing: npm run build makes it`, status: exit.unavailable })
  )
  const named = Option.getOrUndefined(file)
  // Read now, so that what is wrong with it is told here; the page gets it as it is when it asks.
  if (named !== undefined) {
    yield* Effect.mapError(
      input.read(named),
      ({ message = "", status }) => new Failure({ message: `${message}; it is no command either (see --help)`, status })
    )
  }
  const context = yield* Effect.context<FileSystem.FileSystem>()

  const respond = (request: http.IncomingMessage, response: http.ServerResponse, origin: string) => {
    const end = (status: number, type: string, body: string) =>
      response.writeHead(status, { ...headers, "content-type": `${type}; charset=utf-8` }).end(
        request.method === "HEAD" ? undefined : body
      )
    // A page of another site must not read the file, whatever name it gives to this address.
    const own = `http://${request.headers.host ?? ""}` === origin
    const asked = request.headers.origin
    if (!own || (asked !== undefined && asked !== origin)) {
      return end(403, "text/plain", "This page serves its own address only.\n")
    }
    if (request.method !== "GET" && request.method !== "HEAD") return end(405, "text/plain", "GET it.\n")
    if (request.url === "/") return end(200, "text/html", page)
    if (request.url !== "/file") return end(404, "text/plain", "There is no such page.\n")
    if (named === undefined) return end(204, "text/plain", "")
    return Effect.runForkWith(context)(Effect.match(input.readText(named, maxBytes), {
      onFailure: ({ message = "" }) => void end(500, "text/plain", `${message}\n`),
      onSuccess: (text) => void end(200, "text/plain", text)
    }))
  }

  const server = yield* Effect.acquireRelease(
    Effect.sync(() => http.createServer()),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  const bound = yield* Effect.callback<number, Failure>((resume) => {
    server.on("error", ({ message }) => resume(Effect.fail(new Failure({ message, status: exit.unavailable }))))
    server.listen({ port, host: "127.0.0.1" }, () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" ? address?.port ?? port : port))
    })
  })
  const origin = `http://127.0.0.1:${bound}`
  server.on("request", (request, response) => void respond(request, response, origin))
  yield* Console.log(`listening on ${origin}`)
  if (open) yield* openBrowser(origin)
  return yield* Effect.never
}, Effect.scoped)

const openers: { readonly [platform: string]: readonly [string, ReadonlyArray<string>] } = {
  darwin: ["open", []],
  win32: ["cmd", ["/c", "start", ""]]
}

const openBrowser = (origin: string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const [command, args] = openers[process.platform] ?? ["xdg-open", []]
    const child = spawn(command, [...args, origin], { stdio: "ignore", detached: true })
    child.on("error", () => resume(Console.error(`No browser could be opened; go to ${origin}`)))
    child.on("spawn", () => {
      child.unref()
      resume(Effect.void)
    })
  })

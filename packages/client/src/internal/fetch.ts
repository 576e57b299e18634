import * as Transport from "@effect-resilience/errors/Transport"
import * as Redirects from "@effect-resilience/http/Redirects"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Cookies from "effect/http/Cookies"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as HttpMethod from "effect/http/HttpMethod"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as address from "./address.ts"
import { lastResponse } from "./lastResponse.ts"

type Input = Parameters<typeof globalThis.fetch>[0]

/** Runs a call of a client where it lives. */
interface Run<E> {
  (
    call: (client: HttpClient.HttpClient.With<E>) => Effect.Effect<Response, E>,
    options: { readonly signal?: AbortSignal | undefined }
  ): Promise<Exit.Exit<Response, unknown>>
}

/** Ends the bodies that are not read to their end. */
type Bodies = Set<(reason: unknown) => void>

/** A `fetch` that sends through a client. */
export const makeFetch =
  <E>(run: Run<E>, bodies: Bodies = new Set()): typeof globalThis.fetch => (input: Input, given?: RequestInit) =>
    new Promise<Response>((resolve, reject) => {
      const init = membersOf(given ?? {})
      const { body, call, redirect, signal } = read(input, init)
      if (signal?.aborted === true) {
        void body?.cancel(signal.reason).catch(() => {})
        return reject(signal.reason)
      }
      const send = (client: HttpClient.HttpClient.With<E>) =>
        Effect.flatMap(call, (request) => lastResponse(client, request)).pipe(
          Effect.flatMap((response) => toWeb(response, signal, bodies)),
          Effect.updateContext((context: Context.Context<never>) =>
            context.pipe(
              Context.add(Redirects.Followed, redirect === "follow"),
              Context.add(FetchHttpClient.RequestInit, further(input, init))
            )
          )
        )
      run(send, { signal }).then((exit) => {
        if (exit._tag === "Failure") return reject(signal?.aborted === true ? signal.reason : thrown(exit.cause))
        if (redirect === "error" && isRedirect(exit.value.status)) return reject(failed(new Error("a redirect")))
        resolve(exit.value)
      }, reject)
    })

// They may be inherited, as those of a `Request` are: the platform reads each by its name.
const membersOf = (init: RequestInit): RequestInit => ({
  ...init,
  ...Object.fromEntries(members.flatMap((name) => {
    const value: unknown = Reflect.get(init, name)
    return value === undefined ? [] : [[name, value]]
  }))
})

// https://fetch.spec.whatwg.org/#requestinit
const members = [
  "body",
  "cache",
  "credentials",
  "duplex",
  "headers",
  "integrity",
  "keepalive",
  "method",
  "mode",
  "priority",
  "redirect",
  "referrer",
  "referrerPolicy",
  "signal"
]

interface Call {
  readonly call: Effect.Effect<HttpClientRequest.HttpClientRequest>
  readonly signal: AbortSignal | undefined
  readonly redirect: RequestRedirect
  /** The body, if it can be read once. */
  readonly body: ReadableStream | undefined
}

// The platform's `Request` checks everything, and knows the types of bodies.
const read = (input: Input, init: RequestInit): Call => {
  const given = input instanceof Request ? input : undefined
  const url = given?.url ?? String(input)
  // The client knows what a relative address is below.
  const request = new Request(given ?? (address.isAbsolute(url) ? url : "http://relative.invalid"), {
    ...init,
    signal: null
  })
  const { body: source } = init
  const headers = new Headers(request.headers)
  // The transport draws the boundary.
  if (source instanceof FormData) headers.delete("content-type")
  const empty = HttpClientRequest.make(request.method as HttpMethod.HttpMethod)(url.replace(/#.*/s, ""), {
    headers: Object.fromEntries(headers)
  })
  const type = headers.get("content-type") ?? undefined
  const body = bodyOf(source, request, given, type)
  return {
    call: Effect.map(body, (body) => {
      // An empty one would take the type away that the caller has written.
      const sent = body._tag === "Empty" ? empty : HttpClientRequest.setBody(empty, body)
      return type === undefined && body._tag !== "FormData"
        ? HttpClientRequest.removeHeader(sent, "content-type")
        : sent
    }),
    signal: (init.signal === undefined ? given?.signal : init.signal) ?? undefined,
    redirect: request.redirect,
    body: request.body ?? undefined
  }
}

const bodyOf = (
  source: RequestInit["body"],
  request: Request,
  given: Request | undefined,
  type: string | undefined
): Effect.Effect<HttpBody.HttpBody> => {
  if (source === undefined || source === null) {
    // A `Request` has its body as a stream, whatever it was made from. Read whole, it can be sent again.
    return given === undefined || request.body === null
      ? Effect.succeed(HttpBody.empty)
      : Effect.map(
        Effect.promise(() => request.arrayBuffer()),
        (bytes) => HttpBody.uint8Array(new Uint8Array(bytes), type)
      )
  }
  return Effect.succeed(snapshot(source, request, type))
}

// What the caller changes after the call began is not sent.
const snapshot = (source: NonNullable<RequestInit["body"]>, request: Request, type: string | undefined) => {
  if (typeof source === "string" || source instanceof URLSearchParams) return HttpBody.text(String(source), type)
  if (source instanceof FormData) {
    const copy = new FormData()
    source.forEach((value, name) => {
      copy.append(name, value)
    })
    return HttpBody.formData(copy)
  }
  if (source instanceof Blob) return HttpBody.raw(source, { contentType: type, contentLength: source.size })
  if (source instanceof ArrayBuffer) return HttpBody.uint8Array(new Uint8Array(source.slice(0)), type)
  if (ArrayBuffer.isView(source)) {
    const { buffer, byteLength, byteOffset } = source
    return HttpBody.uint8Array(new Uint8Array(buffer, byteOffset, byteLength).slice(), type)
  }
  return source instanceof ReadableStream || Predicate.hasProperty(source, Symbol.asyncIterator)
    ? HttpBody.raw(request.body && naming(request.body), { contentType: type })
    : HttpBody.text(String(source), type)
}

/** A body whose failure names itself, since transports take it for that of the connection, and policies for that of the server. */
const naming = (source: ReadableStream): ReadableStream => {
  let begun: ReadableStreamDefaultReader | undefined
  return new ReadableStream({
    pull: (controller) =>
      (begun ??= source.getReader()).read().then(
        ({ done, value }) => done ? controller.close() : controller.enqueue(value),
        (cause: unknown) => {
          const transmission: Transport.Transmission = { reached: "partOfBody", kind: "body" }
          controller.error(
            Object.assign(new Error("The body failed.", { cause }), { [Transport.TransmissionId]: transmission })
          )
        }
      ),
    cancel: (reason) => (begun ?? source).cancel(reason)
  }, { highWaterMark: 0 })
}

/** What only the transport understands: `cache`, `credentials`, undici's `dispatcher` and the like. */
const further = (input: Input, init: RequestInit): RequestInit => {
  const { body: _, headers: _headers, method: _method, redirect: _redirect, signal: _signal, ...rest } = init
  if (!(input instanceof Request)) return rest
  const { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy } = input
  return { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy, ...rest }
}

const toWeb = (
  response: HttpClientResponse.HttpClientResponse,
  signal: AbortSignal | undefined,
  bodies: Bodies
): Effect.Effect<Response> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const { cookies, request, status } = response
    const headers = new Headers(Object.entries(response.headers))
    headers.delete("set-cookie")
    for (const cookie of Cookies.toSetCookieHeaders(cookies)) headers.append("set-cookie", cookie)
    const body = isBodiless(status) || request.method === "HEAD" ? null : bodyStream(response, context, signal, bodies)
    return Effect.succeed(asFrom(new Response(body, { headers }), response))
  })

/**
 * The body for the web. It begins with the first read: until then the call takes it for one that may never be read. What ends it
 * before, an abort or a reader that leaves, gives up the request at once.
 */
const bodyStream = (
  { stream }: HttpClientResponse.HttpClientResponse,
  context: Context.Context<never>,
  signal: AbortSignal | undefined,
  bodies: Bodies
): ReadableStream<Uint8Array> => {
  const strategy = { highWaterMark: 0 }
  let begun: ReadableStreamDefaultReader<Uint8Array> | undefined
  const reader = () =>
    begun ??= Stream.toReadableStreamWith(Stream.mapError(stream, failed), context, { strategy }).getReader()
  let forget = () => {}
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      const held = new WeakRef(controller)
      const end = (reason: unknown) => {
        forget()
        held.deref()?.error(reason)
        void reader().cancel().catch(() => {})
      }
      const abort = () => end(signal?.reason)
      if (signal?.aborted === true) return abort()
      signal?.addEventListener("abort", abort, { once: true })
      bodies.add(end)
      forget = () => {
        signal?.removeEventListener("abort", abort)
        bodies.delete(end)
      }
    },
    pull: (controller) =>
      reader().read().then(({ done, value }) => {
        if (!done) return controller.enqueue(value)
        forget()
        controller.close()
      }, (error: unknown) => {
        forget()
        controller.error(error)
      }),
    cancel: () => {
      forget()
      return reader().cancel()
    }
  }, strategy)
  abandoned.register(body, () => forget())
  return body
}

// A signal may outlive the responses of which nothing is read.
const abandoned = /* @__PURE__ */ new FinalizationRegistry<() => void>((forget) => forget())

// The constructor takes no address, and few statuses.
const asFrom = (response: Response, from: HttpClientResponse.HttpClientResponse): Response => {
  const { status, url } = from
  return Object.defineProperties(response, {
    url: { value: url },
    status: { value: status },
    ok: { value: status >= 200 && status < 300 },
    clone: { value: () => asFrom(Response.prototype.clone.call(response), from) }
  })
}

const isBodiless = (status: number): boolean => status === 204 || status === 205 || status === 304 || status < 200

// https://fetch.spec.whatwg.org/#redirect-status
const isRedirect = (status: number): boolean => redirects.has(status)
const redirects = new Set([301, 302, 303, 307, 308])

// Code that was written for `fetch` looks for this class and this message.
const failed = (cause: unknown): TypeError => new TypeError("fetch failed", { cause })

const thrown = (cause: Cause.Cause<unknown>): unknown => {
  if (Cause.hasInterruptsOnly(cause)) return new DOMException("This operation was aborted", "AbortError")
  const failure = cause.reasons.find(Cause.isFailReason)
  const error = failure === undefined ? Cause.squash(cause) : failure.error
  // A bug that is an error stays the one that it is.
  return failure === undefined && error instanceof Error ? error : failed(error)
}

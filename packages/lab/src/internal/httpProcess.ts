import * as Parts from "@effect-resilience/client/Parts"
import * as ResilientClient from "@effect-resilience/client/ResilientClient"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpMethod from "effect/http/HttpMethod"
import * as Stream from "effect/Stream"
import type { Exchange } from "./errors.ts"
import type { Process } from "./processModel.ts"

/**
 * A process whose calls go through a real client. Where the simulated server responds, it does so with 200 or 503; where it does not,
 * the transport fails.
 */
export const httpProcess = (
  description: ResilientClient.Description,
  line: string,
  request: Exchange
): Effect.Effect<Process> =>
  Effect.map(
    ResilientClient.make<ResilientClient.Description>(description, { parts: Parts }),
    (client): Process => ({
      call: client.execute(requestOf(line)),
      state: Effect.map(client.status, ({ parts }) => {
        const state = parts.find(({ part }) => part === "circuitBreaker")?.now["state"]
        return typeof state === "string" ? state : undefined
      })
    })
  ).pipe(Effect.provideService(HttpClient.HttpClient, transport(request)))

const requestOf = (line: string): HttpClientRequest.HttpClientRequest => {
  const [, method = "", path = ""] = /^(\S+) (\/\S*)$/.exec(line) ?? []
  const isMethod = HttpMethod.isHttpMethod(method)
  requireArgument(isMethod, "Lab.simulate.request", "a method and a path, such as GET /accounts/17", line)
  return HttpClientRequest.make(method as HttpMethod.HttpMethod)(path)
}

const transport = (exchange: Exchange): HttpClient.HttpClient =>
  HttpClient.make((request) =>
    Effect.matchEffect(exchange, {
      onSuccess: () => Effect.succeed(responseTo(request, 200)),
      onFailure: (error) =>
        error._tag === "ServerFailed"
          ? Effect.succeed(responseTo(request, 503))
          : Effect.fail(
            new HttpClientError.HttpClientError({
              reason: new HttpClientError.TransportError({ request, cause: error })
            })
          )
    })
  )

// A body that a promise reads would be waited for in the machine's time.
const responseTo = (request: HttpClientRequest.HttpClientRequest, status: number) =>
  Object.defineProperties(
    HttpClientResponse.fromWeb(request, new Response(null, { status })),
    emptyBody
  )

const emptyBody = {
  arrayBuffer: { value: /* @__PURE__ */ Effect.sync(() => new ArrayBuffer(0)) },
  text: { value: /* @__PURE__ */ Effect.succeed("") },
  stream: { value: Stream.empty }
}

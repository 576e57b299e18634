/** One API call from its head to its end: counts it, applies a fault if a rule fires, sends the response or breaks the connection. */
import * as Effect from "effect/Effect"
import { STATUS_CODES } from "node:http"
import type * as FaultRule from "../FaultRule.ts"
import type * as Connection from "./Connection.ts"
import * as Guards from "./Guards.ts"
import type { HandleOptions } from "./HandleOptions.ts"
import * as Handlers from "./Handlers.ts"
import * as Response from "./Response.ts"
import * as Route from "./Route.ts"
import type { State } from "./State.ts"
import * as Uploader from "./Uploader.ts"

export const run = (
  state: State,
  connection: Connection.Connection
): Effect.Effect<void, Connection.Disconnected> => {
  const { counters, faults } = state
  const path = Route.pathOf(connection.target)
  const route = Route.parse(connection.method, path)
  counters.requests++
  if (route.operation === "login") counters.logins++
  if (route.operation === "environment") counters.environmentLookups++
  const rule = faults.next({
    operation: route.operation,
    method: connection.method,
    path,
    decodedPath: Route.decoded(path)
  })
  const exchange = { state, connection, route, requestId: requestId(state, connection) }
  return rule === undefined
    ? Effect.flatMap(handle(exchange), (response) => send(exchange, response))
    : applyFault(exchange, rule)
}

interface Exchange {
  readonly state: State
  readonly connection: Connection.Connection
  readonly route: Route.Route
  readonly requestId: Response.Response["headers"]
}

const requestId = ({ counters, settings }: State, connection: Connection.Connection): Response.Response["headers"] => {
  const name = settings.requestIdHeader
  return name === undefined ? {} : { [name]: connection.header(name) ?? `request-${counters.requests}` }
}

const handle = (
  { connection, route, state }: Exchange,
  { commit = true, pace }: Partial<HandleOptions> = {}
): Effect.Effect<Response.Response, Connection.Disconnected> =>
  Handlers.handle(state, connection, route, { commit, pace })

const send = (
  { connection, requestId, state: { settings } }: Exchange,
  response: Response.Response,
  pace?: Connection.Pace
): Effect.Effect<void, Connection.Disconnected> => {
  const identified = { ...response, headers: { ...requestId, ...response.headers } }
  return settings.earlyAnswers
    ? connection.send(identified, settings.drainLimit, pace)
    : Effect.andThen(connection.drain(Number.POSITIVE_INFINITY, pace), connection.send(identified, 0, pace))
}

const applyFault = Effect.fnUntraced(function*(
  exchange: Exchange,
  { apply = false, fault }: FaultRule.FaultRule
): Effect.fn.Return<void, Connection.Disconnected> {
  const { connection, state } = exchange
  const handled = apply ? yield* handle(exchange) : undefined
  const usual = (commit: boolean) => handled === undefined ? handle(exchange, { commit }) : Effect.succeed(handled)
  switch (fault.type) {
    case "status":
      return yield* send(exchange, statusResponse(exchange, fault))
    case "delay":
      yield* Effect.sleep(fault.ms)
      return yield* send(exchange, yield* usual(true))
    case "hang":
      return yield* Effect.never
    case "reset": {
      if (fault.at === "midRequest" && !apply) {
        yield* connection.drain(connection.contentLength === undefined ? 0 : connection.contentLength / 2 - 1)
      } else if (fault.at === "beforeResponse") {
        yield* connection.drain(Number.POSITIVE_INFINITY)
      } else if (fault.at === "midResponse") {
        yield* connection.sendHalf(yield* usual(false))
      }
      return yield* connection.reset
    }
    case "expireTokens":
      yield* state.tokens.expireAll
      return yield* send(exchange, yield* usual(true))
    case "slow": {
      const response = handled ?? (yield* handle(exchange, { pace: fault.bytesPerSecond }))
      return yield* send(exchange, response, fault.bytesPerSecond)
    }
    case "truncate":
      yield* connection.sendHalf(yield* usual(false))
      return yield* connection.close
    case "html":
      return yield* send(exchange, page(fault.status))
    case "redirect":
      return yield* send(exchange, {
        status: 307,
        headers: { location: fault.location, "content-type": "text/html;charset=UTF-8" },
        body: ""
      })
    case "corruptMd5":
      return yield* send(exchange, corrupt(exchange, yield* usual(false)))
    case "echoSecrets":
      return yield* send(exchange, yield* echo(exchange, fault.status, handled !== undefined))
  }
})

const reason = (status: number): string => `HTTP ${status} ${STATUS_CODES[status] ?? "Unknown"}`

const statusResponse = (
  { state: { settings } }: Exchange,
  { body, headers, status }: Extract<FaultRule.Fault, { type: "status" }>
): Response.Response => {
  const standard = Response.failure(settings, status, reason(status))
  return {
    status,
    headers: {
      "content-type": typeof body === "string" ? "text/plain;charset=UTF-8" : "application/json;charset=UTF-8",
      ...Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
    },
    body: body === undefined ? standard.body : typeof body === "string" ? body : JSON.stringify(body)
  }
}

const page = (status: number): Response.Response =>
  status < 400
    ? Response.html(
      status,
      "Log in",
      "<h1>Log in</h1><form method=\"post\" action=\"/login\"><input name=\"username\"><input name=\"password\" type=\"password\"></form>"
    )
    : Response.html(status, reason(status), `<h1>${reason(status)}</h1><p>The server cannot answer now.</p>`)

const corrupt = ({ route, state: { settings } }: Exchange, response: Response.Response): Response.Response =>
  route.operation === "part" && response.status < 300
    ? Uploader.md5Mismatch(settings)
    : typeof response.body !== "string"
    ? response
    : {
      ...response,
      body: response.body.replace(/"md5":"([0-9a-f]{32})"/, (_, md5: string) => `"md5":"${flip(md5)}"`)
    }

/** Another digest of the same form: inverts the bits of each digit. */
const flip = (md5: string): string =>
  Array.from(md5, (digit) => (15 - Number.parseInt(digit, 16)).toString(16)).join("")

const echo = Effect.fnUntraced(
  function*({ connection, route, state: { settings } }: Exchange, status: number, read: boolean) {
    const body = route.operation === "login" && !read
      ? yield* Effect.catchTag(Guards.readText(connection, settings, undefined), "Rejected", () => Effect.succeed(""))
      : ""
    const headers = Object.entries(connection.headers).map(([name, value]) => `${name}: ${value}`).join("; ")
    return Response.failure(
      settings,
      status,
      `Failed on ${connection.method} ${connection.target} with ${headers}; body: ${body}`
    )
  }
)

/** One API call from its head to its end: counted, struck by a fault or not, answered or cut. */
import * as Effect from "effect/Effect"
import { STATUS_CODES } from "node:http"
import type * as FaultRule from "../FaultRule.ts"
import * as Answer from "./Answer.ts"
import type * as Connection from "./Connection.ts"
import * as Guards from "./Guards.ts"
import * as Handlers from "./Handlers.ts"
import type { Handling } from "./Handling.ts"
import * as Route from "./Route.ts"
import * as Uploader from "./Uploader.ts"
import type { World } from "./World.ts"

export const run = (
  world: World,
  connection: Connection.Connection
): Effect.Effect<void, Connection.Disconnected> => {
  const { counters, faults } = world
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
  const exchange = { world, connection, route, requestId: requestId(world, connection) }
  return rule === undefined
    ? Effect.flatMap(handle(exchange), (answer) => send(exchange, answer))
    : strike(exchange, rule)
}

interface Exchange {
  readonly world: World
  readonly connection: Connection.Connection
  readonly route: Route.Route
  readonly requestId: Answer.Answer["headers"]
}

const requestId = ({ counters, settings }: World, connection: Connection.Connection): Answer.Answer["headers"] => {
  const name = settings.requestIdHeader
  return name === undefined ? {} : { [name]: connection.header(name) ?? `request-${counters.requests}` }
}

const handle = (
  { connection, route, world }: Exchange,
  { commit = true, pace }: Partial<Handling> = {}
): Effect.Effect<Answer.Answer, Connection.Disconnected> => Handlers.handle(world, connection, route, { commit, pace })

const send = (
  { connection, requestId, world: { settings } }: Exchange,
  answer: Answer.Answer,
  pace?: Connection.Pace
): Effect.Effect<void, Connection.Disconnected> => {
  const identified = { ...answer, headers: { ...requestId, ...answer.headers } }
  return settings.earlyAnswers
    ? connection.send(identified, settings.drainLimit, pace)
    : Effect.andThen(connection.drain(Number.POSITIVE_INFINITY, pace), connection.send(identified, 0, pace))
}

const strike = Effect.fnUntraced(function*(
  exchange: Exchange,
  { apply = false, fault }: FaultRule.FaultRule
): Effect.fn.Return<void, Connection.Disconnected> {
  const { connection, world } = exchange
  const handled = apply ? yield* handle(exchange) : undefined
  const answered = (commit: boolean) => handled === undefined ? handle(exchange, { commit }) : Effect.succeed(handled)
  switch (fault.type) {
    case "status":
      return yield* send(exchange, statusAnswer(exchange, fault))
    case "delay":
      yield* Effect.sleep(fault.ms)
      return yield* send(exchange, yield* answered(true))
    case "hang":
      return yield* Effect.never
    case "reset": {
      if (fault.at === "midRequest" && !apply) {
        yield* connection.drain(connection.contentLength === undefined ? 0 : connection.contentLength / 2 - 1)
      } else if (fault.at === "beforeResponse") {
        yield* connection.drain(Number.POSITIVE_INFINITY)
      } else if (fault.at === "midResponse") {
        yield* connection.sendHalf(yield* answered(false))
      }
      return yield* connection.reset
    }
    case "expireTokens":
      yield* world.tokens.expireAll
      return yield* send(exchange, yield* answered(true))
    case "slow": {
      const answer = handled ?? (yield* handle(exchange, { pace: fault.bytesPerSecond }))
      return yield* send(exchange, answer, fault.bytesPerSecond)
    }
    case "truncate":
      yield* connection.sendHalf(yield* answered(false))
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
      return yield* send(exchange, corrupt(exchange, yield* answered(false)))
    case "echoSecrets":
      return yield* send(exchange, yield* echo(exchange, fault.status, handled !== undefined))
  }
})

const reason = (status: number): string => `HTTP ${status} ${STATUS_CODES[status] ?? "Unknown"}`

const statusAnswer = (
  { world: { settings } }: Exchange,
  { body, headers, status }: Extract<FaultRule.Fault, { type: "status" }>
): Answer.Answer => {
  const standard = Answer.failure(settings, status, reason(status))
  return {
    status,
    headers: {
      "content-type": typeof body === "string" ? "text/plain;charset=UTF-8" : "application/json;charset=UTF-8",
      ...Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
    },
    body: body === undefined ? standard.body : typeof body === "string" ? body : JSON.stringify(body)
  }
}

const page = (status: number): Answer.Answer =>
  status < 400
    ? Answer.html(
      status,
      "Log in",
      "<h1>Log in</h1><form method=\"post\" action=\"/login\"><input name=\"username\"><input name=\"password\" type=\"password\"></form>"
    )
    : Answer.html(status, reason(status), `<h1>${reason(status)}</h1><p>The server cannot answer now.</p>`)

const corrupt = ({ route, world: { settings } }: Exchange, answer: Answer.Answer): Answer.Answer =>
  route.operation === "part" && answer.status < 300 ? Uploader.md5Mismatch(settings) : {
    ...answer,
    body: answer.body.replace(/"md5":"([0-9a-f]{32})"/, (_, md5: string) => `"md5":"${flip(md5)}"`)
  }

/** Another digest of the same form: every digit's bits turned. */
const flip = (md5: string): string =>
  Array.from(md5, (digit) => (15 - Number.parseInt(digit, 16)).toString(16)).join("")

const echo = Effect.fnUntraced(
  function*({ connection, route, world: { settings } }: Exchange, status: number, read: boolean) {
    const body = route.operation === "login" && !read
      ? yield* Effect.catchTag(Guards.readText(connection, settings, undefined), "Rejected", () => Effect.succeed(""))
      : ""
    const headers = Object.entries(connection.headers).map(([name, value]) => `${name}: ${value}`).join("; ")
    return Answer.failure(
      settings,
      status,
      `Failed on ${connection.method} ${connection.target} with ${headers}; body: ${body}`
    )
  }
)

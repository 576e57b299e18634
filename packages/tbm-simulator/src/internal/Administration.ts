/** The endpoints below `/__simulator`, for tests of any client. They are not counted, and no fault applies to them. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as FaultRule from "../FaultRule.ts"
import type * as SimulatorOptions from "../SimulatorOptions.ts"
import type * as SimulatorState from "../SimulatorState.ts"
import type * as Connection from "./Connection.ts"
import * as Response from "./Response.ts"
import * as Route from "./Route.ts"
import * as Visitor from "./Visitor.ts"

export interface Controls {
  readonly state: Effect.Effect<SimulatorState.SimulatorState>
  /** False if too many rules would be in force. */
  readonly addFaults: (rules: ReadonlyArray<FaultRule.FaultRule>) => Effect.Effect<boolean>
  readonly clearFaults: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  readonly expireTokens: Effect.Effect<number>
}

export const isFor = (target: string): boolean => /^\/__simulator(?:\/|$)/.test(Route.pathOf(target))

export const handle = (
  settings: SimulatorOptions.Settings,
  controls: Controls,
  connection: Connection.Connection
): Effect.Effect<Response.Response, Connection.Disconnected> => {
  const objection = Visitor.objection(connection, settings.allowedHosts)
  if (objection !== undefined) return Effect.succeed(Response.json(403, { message: objection }))
  const path = Route.pathOf(connection.target)
  const operations = endpoints(controls, connection)[path]
  if (operations === undefined) {
    return Effect.succeed(Response.json(404, { message: `There is no ${path}. See the README of tbm-simulator.` }))
  }
  const operation = operations[connection.method]
  if (operation === undefined) {
    const allow = Object.keys(operations).join(", ")
    return Effect.succeed(Response.json(405, { message: `${path} takes ${allow}.` }, { allow }))
  }
  return operation
}

const endpoints = (controls: Controls, connection: Connection.Connection): {
  readonly [path: string]: {
    readonly [method: string]: Effect.Effect<Response.Response, Connection.Disconnected>
  } | undefined
} => ({
  "/__simulator/state": { GET: Effect.map(controls.state, (state) => Response.json(200, state)) },
  "/__simulator/faults": {
    POST: addFaults(controls, connection),
    DELETE: Effect.as(controls.clearFaults, Response.json(200, { message: "No faults are in force." }))
  },
  "/__simulator/reset": { POST: Effect.as(controls.reset, Response.json(200, { message: "As just started." })) },
  "/__simulator/tokens/expire": {
    POST: Effect.map(controls.expireTokens, (expired) => Response.json(200, { expired }))
  }
})

const addFaults = Effect.fnUntraced(function*({ addFaults }: Controls, connection: Connection.Connection) {
  const pieces: Array<Uint8Array> = []
  let length = 0
  for (let piece = yield* connection.pull(); piece !== undefined; piece = yield* connection.pull()) {
    length += piece.length
    if (length > bodyLimit) return Response.json(413, { message: "The fault rules are larger than 1 MiB." })
    pieces.push(piece)
  }
  const text = Buffer.concat(pieces).toString("utf8")
  const json = Result.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) => `The fault rules are not JSON: ${cause instanceof Error ? cause.message : String(cause)}`
  })
  const rules = Result.andThen(
    json,
    (input) =>
      Result.mapError(
        FaultRule.decode(input),
        (error) => `Not an array of fault rules: ${error.message.replace(/\n\s*at /g, " at ").replace(/\n/g, "; ")}`
      )
  )
  if (Result.isFailure(rules)) return Response.json(400, { message: rules.failure })
  if (!(yield* addFaults(rules.success))) {
    const message = `At most ${FaultRule.maxRules} fault rules can be in force: DELETE ${connection.target} ends them.`
    return Response.json(409, { message })
  }
  return Response.json(200, { added: rules.success.length })
})

const bodyLimit = 1024 * 1024

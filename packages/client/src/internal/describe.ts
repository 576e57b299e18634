import * as Operation from "@effect-resilience/http/Operation"
import * as Duration from "effect/Duration"
import type { Settings } from "./description.ts"
import { timeoutsOf } from "./description.ts"

const width = 80

// What a description cannot know.
const transports = {
  reporting: "The transport says how far each request came.",
  other: "The transport does not say how far a request came, as far as is known:\n" +
    "`connect` limits nothing, and an attempt that is cut off counts as sent."
}

/** What happens to a call, outside in; what operations have otherwise; what the transport cannot do. It takes what pipelines tell. */
export const describe = (
  settings: Settings,
  client: string,
  operations: ReadonlyArray<readonly [name: string, pipeline: string]>,
  transportReports: boolean
): string => {
  const { baseUrl, name } = settings
  const own = linesOf(client)
  return [
    `${name} at ${baseUrl.map(({ address }) => address).join(", ")}`,
    line("access log", told("a line", settings.accessLog)),
    line("span", told("one", settings.telemetry)),
    ...own.map(([part, text]) => line(part, text)),
    ...attempt(settings).map(([part, text]) => line(part, text)),
    "  the call",
    "",
    line("sent again", again(settings)),
    line(
      "other origins",
      settings.origins.length === 0 ? "rejected" : `${settings.origins.join(", ")}, without credentials`
    ),
    ...operations.flatMap(([operation, theirs]) => ["", ...different(settings, own, operation, linesOf(theirs))]),
    "",
    transportReports ? transports.reporting : transports.other
  ].join("\n")
}

const told = (what: string, { attempts, calls }: Settings["accessLog"]): string => {
  if (!calls) return attempts ? `${what} for each attempt` : "none"
  return attempts ? `${what} for the call, and one for each attempt` : `${what} for the call`
}

// What a pipeline says of a policy that it was given.
const shared = "made elsewhere"

type Line = readonly [part: string, text: string]

// Those of `Pipeline.describe`, between its name and the call.
const linesOf = (pipeline: string): ReadonlyArray<Line> =>
  pipeline.split("\n").slice(1, -1).map((line) => [line.slice(0, 18).trim(), line.slice(18)] as const)

const attempt = (settings: Settings, operation?: string): ReadonlyArray<Line> => {
  const { propagation, redirects } = settings
  const { attempt, connect, firstByte = attempt, idle } = timeoutsOf(settings, operation)
  const limits = Object.entries({ attempt, connect, firstByte, idle }).map(([name, limit]): Line => [
    name,
    Duration.format(limit)
  ])
  const sentOn = [...propagation.deadline ? ["deadline"] : [], ...propagation.trace ? ["trace"] : []]
  const body = (operation === undefined ? undefined : settings.operations[operation]?.body) ?? settings.body
  return [
    ...limits,
    ["body", bodies[body]],
    ["sent on", sentOn.length === 0 ? "nothing" : sentOn.join(" and ")],
    [
      "redirects",
      redirects === undefined
        ? "not followed"
        : `followed up to ${redirects.limit ?? 5} times, within the origin${
          redirects.origins === undefined ? "" : ` and to ${redirects.origins.join(", ")}`
        }`
    ]
  ]
}

const bodies = { json: "JSON is read within the attempt", whole: "is read within the attempt", stream: "streams" }

const again = ({ idempotency: { key, methods } }: Settings): string =>
  `${[...Operation.idempotentMethods, ...methods].join(", ")}; others ${
    key ? "with an Idempotency-Key" : "only if nothing was sent"
  }`

const different = (
  settings: Settings,
  client: ReadonlyArray<Line>,
  operation: string,
  own: ReadonlyArray<Line>
): ReadonlyArray<string> => {
  const { appliedWhenWhole, endpoint, idempotencyKey, idempotent, pipeline } = settings.operations[operation] ?? {}
  const ofClient = new Map([...client, ...attempt(settings)])
  const ofOperation = [...own, ...attempt(settings, operation)]
  const named = new Set(ofOperation.map(([part]) => part))
  const ofOneOperation = [
    ...idempotent === undefined ? [] : [idempotent ? "yes: it is idempotent" : "no: it is not idempotent"],
    ...idempotencyKey === undefined ? [] : [idempotencyKey ? "with an Idempotency-Key" : "without a key"]
  ].join(", ")
  const isOwn = (part: string) => pipeline !== undefined && part in pipeline
  const rows: ReadonlyArray<Line> = [
    ...ofOperation.flatMap(([part, text]): ReadonlyArray<Line> =>
      isOwn(part) ? [[part, `its own: ${text}`]] : text === shared || ofClient.get(part) === text ? [] : [[part, text]]
    ),
    ...client.flatMap(([part]): ReadonlyArray<Line> =>
      named.has(part) ? [] : [[part, part === "retry" ? "none: the caller repeats" : "none"]]
    ),
    ...(idempotent === undefined && idempotencyKey === undefined ? [] : [["sent again", ofOneOperation]] as const),
    ...(appliedWhenWhole === true ? [["applied", "once its last byte is there"]] as const : [])
  ]
  return [
    endpoint === undefined ? operation : `${operation}: ${endpoint.method} ${endpoint.path}`,
    ...rows.length === 0 ? ["  as the client"] : rows.map(([part, text]) => line(part, text))
  ]
}

const line = (part: string, text: string): string =>
  (`  ${part}`.padEnd(16) + wrapped(text).join("\n").slice(16)).trimEnd()

/** Lines that are no longer than `width`, where words allow it. */
const wrapped = (text: string): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length >= width) lines.push(" ".repeat(18) + word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

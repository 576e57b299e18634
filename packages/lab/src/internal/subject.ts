/** What the rules of the lint look at: a description with its defaults, and where each option is written. */
import * as ResilientClient from "@effect-resilience/client/ResilientClient"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"

/** Keys and indices from the root of a file or a description. */
export type Path = ReadonlyArray<string | number>

export interface Json {
  readonly [name: string]: unknown
}

/** The surroundings of a description, as far as they are known. Rates are of all processes together. */
export interface World {
  readonly processes?: number | undefined
  readonly capacity?: number | undefined
  readonly callsPerSecond?: number | undefined
  readonly serviceMillis?: number | undefined
}

/** Options of a part, and where they are written. */
export interface Part {
  readonly options: Json
  readonly path: Path
}

/** A limit of time. One that is a default stands at the description itself. */
export interface Limit {
  readonly millis: number
  readonly path: Path
  readonly written: boolean
}

/** A pipeline, a client, or an operation of a client. */
export interface Subject {
  readonly name: string
  readonly path: Path
  readonly parts: { readonly [part: string]: Part | undefined }
  /** Absent where a call, or an attempt, is not limited. */
  readonly total: Limit | undefined
  readonly attempt: Limit | undefined
  /** The description of a client. */
  readonly client: Part | undefined
  /** The options of an operation. */
  readonly operation: Part | undefined
  /** The layers that this one is called by, the outermost first. */
  readonly outer: ReadonlyArray<Subject>
  readonly world: World
}

export const isJson = (value: unknown): value is Json => Predicate.isObject(value)

const jsonOf = (value: unknown): Json => isJson(value) ? value : {}

/** The subject of a pipeline's description. */
export const ofPipeline = (json: Json, path: Path, outer: ReadonlyArray<Subject>, world: World): Subject => ({
  name: nameOf(json),
  path,
  parts: partsOf(json, path),
  total: limitOf(json, "deadline", path),
  attempt: limitOf(json, "attemptTimeout", path),
  client: undefined,
  operation: undefined,
  outer,
  world
})

/** The subjects of a client's description: the client, then its operations. */
export const ofClient = (
  json: Json,
  path: Path,
  outer: ReadonlyArray<Subject>,
  world: World
): readonly [Subject, ...ReadonlyArray<Subject>] => {
  const written = isJson(json["pipeline"])
  const times = timesOf(json, path)
  const client: Subject = {
    name: nameOf(json),
    path,
    parts: written
      ? partsOf(jsonOf(json["pipeline"]), [...path, "pipeline"])
      : partsOf(ResilientClient.standard.pipeline, path, false),
    total: times("total", limitOf({ total: ResilientClient.standard.timeouts.total }, "total", path, false)),
    attempt: times("attempt", limitOf({ attempt: ResilientClient.standard.timeouts.attempt }, "attempt", path, false)),
    client: { options: json, path },
    operation: undefined,
    outer,
    world
  }
  const operations = Object.entries(jsonOf(json["operations"])).map(([name, value]): Subject => {
    const options = jsonOf(value)
    const at = [...path, "operations", name]
    const without = [options["without"]].flat()
    const own = partsOf(jsonOf(options["pipeline"]), [...at, "pipeline"])
    const times = timesOf(options, at)
    return {
      ...client,
      name: `${client.name}, operation ${name}`,
      path: at,
      parts: {
        ...Object.fromEntries(Object.entries(client.parts).filter(([part]) => !without.includes(part))),
        ...own
      },
      total: times("total", client.total),
      attempt: times("attempt", client.attempt),
      operation: { options, path: at }
    }
  })
  return [client, ...operations]
}

const nameOf = (json: Json): string => Predicate.isString(json["name"]) ? json["name"] : "it"

const partsOf = (json: Json, path: Path, written = true): Subject["parts"] =>
  Object.fromEntries(
    Object.keys(Pipeline.parts).flatMap((part) => {
      const options = json[part]
      return isJson(options) ? [[part, { options, path: written ? [...path, part] : path }]] : []
    })
  )

const timesOf = (json: Json, path: Path) => (name: string, otherwise: Limit | undefined): Limit | undefined => {
  const timeouts = jsonOf(json["timeouts"])
  return timeouts[name] === undefined ? otherwise : limitOf(timeouts, name, [...path, "timeouts"])
}

/** The limit that an option sets; `undefined` where it is left out or infinite. */
export const limitOf = (options: Json, name: string, path: Path, written = true): Limit | undefined => {
  const millis = millisOf(options[name])
  return millis !== undefined && millis < Infinity
    ? { millis, path: written ? [...path, name] : path, written }
    : undefined
}

export const millisOf = (input: unknown): number | undefined => {
  const duration = Predicate.isString(input) || Predicate.isNumber(input) || Duration.isDuration(input)
    ? Duration.fromInput(input as Duration.Input)
    : undefined
  return duration?._tag === "Some" ? Duration.toMillis(duration.value) : undefined
}

/** A number that is written, or its default. JSON writes `Infinity` as `null`. */
export const numberOf = (options: Json, name: string, otherwise: number): number => {
  const value = options[name]
  return value === null ? Infinity : Predicate.isNumber(value) ? value : otherwise
}

const retryTimes = Number(RetryPolicy.fields.times.default)

/** How many retries a call has at most. */
export const retriesOf = ({ parts: { retry } }: Subject): number =>
  retry === undefined ? 0 : numberOf(retry.options, "times", retryTimes)

/** The longest wait before each retry; `undefined` where a function says it. */
export const longestWaits = (retry: Part, times: number): ReadonlyArray<number> | undefined => {
  const backoff = jsonOf(retry.options["backoff"])
  if ("custom" in backoff) return undefined
  const next = Backoff.delays(backoff as Backoff.Options, () => 1 - Number.EPSILON)
  return Array.from({ length: times }, () => Duration.toMillis(next()))
}

/** What a budget allows beside the first attempts: a share of the calls, and a number a second over all processes. */
export const budgetOf = ({ parts: { budget }, world }: Subject): Budget | undefined => {
  if (budget === undefined) return undefined
  const kind = ["expiring", "inFlight", "quota", "retryThrottling"].find((name) => name in budget.options)
  const options = kind === undefined ? budget.options : jsonOf(budget.options[kind])
  const path = kind === undefined ? budget.path : [...budget.path, kind]
  const written = Predicate.isNumber(options["processes"]) ? options["processes"] : undefined
  const processes = written ?? 1
  const minPerSecond = numberOf(options, "minPerSecond", numberOf(options, "floor", 0.1))
  const fleet = world.processes ?? processes
  return {
    kind,
    options,
    path,
    processes: written,
    ratio: numberOf(options, "ratio", kind === "inFlight" ? 0.2 : 0.1),
    floor: minPerSecond / processes * fleet,
    minPerSecond,
    burst: Math.max(1, numberOf(options, "burst", Math.max(10, minPerSecond * 10)) / processes),
    fleet
  }
}

export interface Budget {
  readonly kind: string | undefined
  readonly options: Json
  readonly path: Path
  /** As it is written. */
  readonly processes: number | undefined
  readonly ratio: number
  readonly minPerSecond: number
  /** Over all processes, for each second. */
  readonly floor: number
  /** Of one process. */
  readonly burst: number
  readonly fleet: number
}

/** How many processes share the dependency; `undefined` where nothing says it. */
export const processesOf = (subject: Subject): number | undefined =>
  subject.world.processes ?? budgetOf(subject)?.processes

/** A time as people write it: `1.5 s`. */
export const time = (millis: number): string => {
  const [unit, length] = millis >= 120_000 ? ["min", 60_000] : millis >= 1000 ? ["s", 1000] : ["ms", 1]
  return `${number(millis / length)} ${unit}`
}

/** A number with at most two decimals. */
export const number = (value: number): string => String(Math.round(value * 100) / 100)

/** A list as a sum. */
export const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

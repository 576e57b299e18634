/**
 * Recorded traffic: when calls began, how long their attempts took, and how they ended.
 *
 * **Details**
 *
 * `read` takes lines of our own access log, of a recording (`Recording` of `http`), of Envoy or of nginx, the last two as text or JSON
 * with a duration. It is redacted as it is read: of a line nothing is kept but times, the status and whether a retry may help.
 * Addresses, headers, identifiers and messages are never stored.
 *
 * - **access log**: attempts belong to calls by their `call`; each has the recovery that policies saw.
 * - **Envoy, nginx, a recording**: each line is a call with one attempt. GET, HEAD, OPTIONS, PUT and DELETE with a 408, 429 or 5xx may
 *   be repeated, and others not.
 * - **nginx** writes a line when a request ends, with `$request_time` last: `log_format timed '$remote_addr - $remote_user
 *   [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time'`. Its times have whole seconds, so
 *   all of a second seem to end at once, which is too much for a bulkhead. JSON with `$msec` has milliseconds.
 *
 * **Example** (A retried call in an access log)
 *
 * ```ts import.meta.vitest
 * import { Traffic } from "@effect-resilience/lab"
 *
 * const at = "2026-01-01T00:00:00.000Z"
 * const traffic = Traffic.read([
 *   `{"time":"${at}","kind":"attempt","call":"a","outcome":"failure","durationMs":20,"attempt":1,"status":503,"recovery":"Retry"}`,
 *   `{"time":"${at}","kind":"attempt","call":"a","outcome":"success","durationMs":30,"attempt":2,"status":200}`,
 *   `{"time":"${at}","kind":"call","call":"a","outcome":"success","durationMs":150,"attempt":2,"status":200}`
 * ])
 * traffic.calls[0]?.attempts.map(({ millis, outcome }) => [millis, outcome]) // => [[20, "transient"], [30, "good"]]
 * traffic.calls[0]?.millis // => 150
 * ```
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { Json } from "./internal/subject.ts"
import { isJson } from "./internal/subject.ts"

/**
 * How an attempt ended: well, with what another attempt may not have, with what it would have too, or cut off by a limit of time or
 * an interruption.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "good" | "transient" | "permanent" | "cut"

/**
 * An attempt. `atMillis` counts from the first call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  readonly atMillis: number
  /** How long it took, in milliseconds. */
  readonly millis: number
  /** How it ended. */
  readonly outcome: Outcome
}

/**
 * A call, with its attempts in their order; none where a policy did not ask.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  /** When it began, in milliseconds from the first call. */
  readonly atMillis: number
  /** How long it took, with its attempts and waits, in milliseconds. */
  readonly millis: number
  /** Whether it succeeded. */
  readonly good: boolean
  /** In their order; none where a policy did not ask. */
  readonly attempts: ReadonlyArray<Attempt>
}

/**
 * What was recorded, in the order in which calls began. `unread` counts the lines that are of no known format.
 *
 * @category models
 * @since 0.1.0
 */
export interface Traffic {
  /** In the order in which they began. */
  readonly calls: ReadonlyArray<Call>
  readonly unread: number
}

/** The longest line that is looked at. */
const maxLine = 64 * 1024

/**
 * Reads lines.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = (lines: Iterable<string>): Traffic => {
  const calls = new Map<string, Found>()
  let unread = 0
  let count = 0
  for (const line of lines) {
    if (line.trim() === "") continue
    const entry = line.length > maxLine ? undefined : entryOf(line)
    if (entry === undefined) {
      unread++
      continue
    }
    const { call = `line ${count++}`, kind, ...rest } = entry
    const found = calls.get(call) ?? { attempts: [], whole: undefined }
    if (kind === "call") found.whole = rest
    else found.attempts.push(rest)
    calls.set(call, found)
  }
  const all = Array.from(calls.values(), callOf).sort((a, b) => a.atMillis - b.atMillis)
  const first = all[0]?.atMillis ?? 0
  return {
    unread,
    calls: all.map((call) => ({
      ...call,
      atMillis: call.atMillis - first,
      attempts: call.attempts.map((attempt) => ({ ...attempt, atMillis: attempt.atMillis - first }))
    }))
  }
}

interface Found {
  readonly attempts: Array<Attempt>
  whole: Attempt | undefined
}

interface Entry extends Attempt {
  readonly kind: "attempt" | "call"
  readonly call: string | undefined
}

const callOf = ({ attempts, whole }: Found): Call => {
  const sorted = attempts.sort((a, b) => a.atMillis - b.atMillis)
  const [first] = sorted
  const last = sorted.at(-1)
  const atMillis = whole?.atMillis ?? first?.atMillis ?? 0
  return {
    atMillis,
    millis: whole?.millis ?? (last === undefined ? 0 : last.atMillis + last.millis - atMillis),
    good: (whole ?? last)?.outcome === "good",
    attempts: sorted
  }
}

const entryOf = (line: string): Entry | undefined => {
  if (!line.trimStart().startsWith("{")) return fromEnvoy(line) ?? fromNginx(line)
  const parsed = Result.try((): unknown => JSON.parse(line))
  return Result.isSuccess(parsed) && isJson(parsed.success) ? fromJson(parsed.success) : undefined
}

const fromJson = (json: Json): Entry | undefined => {
  // Effect's JSON logger has the fields of an entry as annotations.
  const inner = isJson(json["annotations"]) ? json["annotations"] : json
  const answer = isJson(inner["answer"]) ? inner["answer"] : {}
  const seconds = numberOf(inner["request_time"])
  const millis = numberOf(inner["durationMs"]) ?? numberOf(inner["duration"]) ?? (seconds && seconds * 1000)
  const began = timeOf(inner["time"] ?? inner["start_time"])
  const msec = numberOf(inner["msec"])
  // The other one of nginx has whole seconds.
  const ended = msec === undefined ? timeOf(inner["time_iso8601"]) : msec * 1000
  const atMillis = began ?? (millis === undefined || ended === undefined ? undefined : ended - millis)
  if (millis === undefined || atMillis === undefined) return undefined
  const status = numberOf(inner["status"] ?? inner["response_code"] ?? answer["status"])
  return {
    atMillis,
    millis,
    kind: inner["kind"] === "call" ? "call" : "attempt",
    call: Predicate.isString(inner["call"]) ? inner["call"] : undefined,
    outcome: Predicate.isString(inner["outcome"])
      ? outcomeOfEntry(inner)
      : outcomeOfStatus(status, methodOf(inner["method"] ?? inner["request_method"]))
  }
}

const methodOf = (method: unknown): string => Predicate.isString(method) ? method : "GET"

const isTimeout = (reason: unknown): boolean => Predicate.isString(reason) && /Timeout|TimedOut/.test(reason)

const outcomeOfEntry = ({ error, outcome, recovery }: Json): Outcome =>
  outcome === "success"
    ? "good"
    : outcome === "interrupted" || (isJson(error) && isTimeout(error["reason"]))
    ? "cut"
    : recovery === "Retry"
    ? "transient"
    : "permanent"

const outcomeOfStatus = (status: number | undefined, method: string): Outcome => {
  // No response: nginx's 499, Envoy's 0 and the error of a recording.
  if (status === undefined || status === 0 || status === 499) return "cut"
  if (status < 400) return "good"
  const passing = status === 408 || status === 429 || (status >= 500 && status !== 501)
  return passing && /^(GET|HEAD|OPTIONS|PUT|DELETE)$/i.test(method) ? "transient" : "permanent"
}

// [start] "METHOD path protocol" status flags … received sent duration upstream "…
const envoy = /^\[([^\]]{1,40})\] "(\S{1,20}) [^"]*" (\d{1,3}) .*?\b(\d+) (\d+) (\d+) (?:\d+|-) "/

const fromEnvoy = (line: string): Entry | undefined => {
  const [, time, method = "", status, , , duration] = envoy.exec(line) ?? []
  const atMillis = timeOf(time)
  return atMillis === undefined ? undefined : {
    atMillis,
    millis: Number(duration),
    kind: "attempt",
    call: undefined,
    outcome: outcomeOfStatus(Number(status), method)
  }
}

// … [time] "METHOD path protocol" status …, and the seconds last.
const nginx = /\[(\d\d)\/(\w{3})\/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d{4})\] "(\S{1,20}) [^"]*" (\d{3}) .*?(\d+\.\d+)\s*$/

const fromNginx = (line: string): Entry | undefined => {
  const [, day, month, year, clock, zone, method = "", status, seconds] = nginx.exec(line) ?? []
  const ended = timeOf(`${day} ${month} ${year} ${clock} ${zone}`)
  return seconds === undefined || ended === undefined ? undefined : {
    atMillis: ended - Number(seconds) * 1000,
    millis: Number(seconds) * 1000,
    kind: "attempt",
    call: undefined,
    outcome: outcomeOfStatus(Number(status), method)
  }
}

const timeOf = (value: unknown): number | undefined => {
  const millis = Predicate.isString(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(millis) ? undefined : millis
}

const numberOf = (value: unknown): number | undefined => {
  const number = Predicate.isString(value) && value !== "" ? Number(value) : value
  return Predicate.isNumber(number) && Number.isFinite(number) && number >= 0 ? number : undefined
}

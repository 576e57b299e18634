/** What the worker responds: all of it by the packages themselves. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as descriptionText from "../../src/internal/descriptionText.ts"
import * as outcome from "../../src/internal/outcome.ts"
import { policyOf } from "../../src/internal/policyOf.ts"
import * as scenario from "../../src/internal/scenario.ts"
import type { Json } from "../../src/internal/subject.ts"
import { isJson, millisOf } from "../../src/internal/subject.ts"
import { surroundings } from "../../src/internal/surroundings.ts"
import type { Facts, Policy, Questions, Reading, Remark, World } from "./protocol.ts"

/** The most calls that a page simulates: more would take minutes, and a link may ask for any number. */
const mostCalls = 500_000

const error = (text: string, line = 1): Remark => ({ kind: "error", line, text })

/** Parses a text, JSON or YAML. */
const parsed = <A>(
  text: string,
  read: (text: descriptionText.DescriptionText, json: Json) => Reading<A>
): Reading<A> => {
  const result = descriptionText.parse(text)
  if (Result.isFailure(result)) {
    const [, line = "1", message = result.failure] = /^(\d+):\d+ ([^]*)$/.exec(result.failure) ?? []
    return { value: undefined, remarks: [error(message, Number(line))] }
  }
  const { value } = result.success
  return isJson(value) ? read(result.success, value) : { value: undefined, remarks: [error("This is not an object.")] }
}

const readPolicy: Questions["readPolicy"] = (text, world) =>
  parsed<Policy>(text, (read, json) => {
    const found = descriptionText.lint(read, surroundings({ ...world }))
    const remarks = found.map(({ arithmetic, fix, level, line, message, why }): Remark => ({
      kind: level,
      line,
      text: [message, why, arithmetic === undefined ? "" : `(${arithmetic})`, fix].filter((part) => part !== "").join(
        " "
      )
    }))
    const decoded = Effect.runSyncExit(policyOf(json))
    const broken = found.some(({ rule }) => rule === "invalid")
    return decoded._tag === "Failure" && !broken
      ? { value: undefined, remarks: [error(String(decoded.cause)), ...remarks] }
      : { value: broken ? undefined : json, remarks }
  })

const readWorld: Questions["readWorld"] = (text) =>
  parsed<World>(text, (_, json) => {
    const complete = Effect.runSync(Effect.result(scenario.world(json)))
    if (Result.isFailure(complete)) return { value: undefined, remarks: [error(complete.failure.message)] }
    const problem = tooLarge(complete.success) ?? senseless(complete.success)
    return problem === undefined
      ? { value: complete.success, remarks: [] }
      : { value: undefined, remarks: [error(problem)] }
  })

const readFile: Questions["readFile"] = (text) => {
  const { remarks, value } = parsed<Json>(text, (_, json) => ({ value: json, remarks: [] }))
  if (value === undefined) return { policy: undefined, world: undefined, remarks }
  const { policy = value } = value
  const world = value["policy"] === undefined ? undefined : readWorld(text)
  const read = readPolicy(JSON.stringify(policy), world?.value ?? Effect.runSync(scenario.world({})))
  return { policy: read.value, world: world?.value, remarks: [...world?.remarks ?? [], ...read.remarks] }
}

const tooLarge = (world: World): string | undefined => {
  const { duration } = factsOf(world)
  // Other clients and tiers are read by `Lab.simulate`, and may be anything until then.
  const { others, tiers }: Json = { ...world }
  const clients = [world, ...Object.values(isJson(others) ? others : {})].filter(isJson)
  const calls = clients.reduce((all, { arrivals }) => all + callsOf(arrivals, duration), 0)
  const processes = [...clients, ...[tiers].flat().filter(isJson)].map(({ processes = 1 }) => Number(processes))
  return !(calls <= mostCalls) || duration > 3600 || processes.some((count) => !(count <= 1000))
    ? `This page simulates at most ${
      mostCalls.toLocaleString("en-US")
    } calls, an hour and 1,000 processes. The command has no such limit.`
    : undefined
}

/** How many calls come in so many seconds, at most about. */
const callsOf = (arrivals: unknown, duration: number): number => {
  const { bursts, closed }: Json = isJson(arrivals) ? arrivals : {}
  if (isJson(closed)) {
    return Number(closed["clients"]) * (1 + duration / Math.max((millisOf(closed["thinkTime"]) ?? 0) / 1000, 0.1))
  }
  const { callsPerSecond = 0 } = surroundings({ arrivals })
  return Math.max(isJson(bursts) ? Number(bursts["calls"]) : 0, callsPerSecond * duration)
}

/** What `Lab.simulate` says of servers behind the first, and of other clients: it is asked for a moment of this world. */
const senseless = (world: World): string | undefined => {
  const moment = Effect.runSync(Effect.result(outcome.of({ name: "none" }, { ...world, duration: 1 })))
  return Result.isFailure(moment) ? moment.failure.message : undefined
}

const factsOf = (world: World): Facts => {
  const { callsPerSecond, capacity = 0 } = surroundings({ ...world })
  return {
    capacity,
    offered: callsPerSecond ?? 0,
    duration: scenario.spans({ ...world, outages: { from: 0, for: world.duration, fault: "down" } })[0]?.to ?? 0,
    outages: scenario.spans(world)
  }
}

const outcomeOf = (world: World, policy: Policy) => Effect.runSync(outcome.of(policy, world))

const simulate: Questions["simulate"] = (world, policy) => {
  const found = outcomeOf(world, policy)
  const { result, verdict } = found
  const drawn = outcome.drawn(found)
  return { facts: { ...factsOf(world), capacity: drawn.capacity ?? 0 }, result, verdict, drawn }
}

const questions: Questions = {
  readPolicy,
  readWorld,
  readFile,
  simulate,
  judge: (world, policy) => outcomeOf(world, policy).verdict,
  write: (world, policy, as) => {
    // As the command has it, which reads the world from a file.
    const found = outcomeOf(Effect.runSync(scenario.world({ ...world })), policy)
    const text = as === "json"
      ? outcome.json(found)
      : as === "csv"
      ? outcome.csv(found)
      : outcome.svg(found, as === "svg" ? {} : { theme: as })
    return `${text}\n`
  }
}

export const respond = async (name: keyof Questions, input: ReadonlyArray<unknown>): Promise<unknown> =>
  (questions[name] as (...input: ReadonlyArray<unknown>) => unknown)(...input)

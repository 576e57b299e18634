/** What the controls of the first screen read and write. */
import type { Facts, Policy, World } from "./protocol.ts"
import type { Scenario } from "./scenario.ts"

const record = (value: unknown): { readonly [key: string]: unknown } | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined

const without = (policy: Policy, key: string): Policy => {
  const { [key]: _, ...rest } = policy
  return rest
}

const yours = (scenario: Scenario, policy: Policy): Scenario => ({ ...scenario, yours: policy })

/** A client's description has its pipeline in a field; a pipeline's is one. */
const pipelineOf = (policy: Policy): Policy => "baseUrl" in policy ? record(policy["pipeline"]) ?? {} : policy

const withPipeline = (policy: Policy, pipeline: Policy): Policy =>
  "baseUrl" in policy ? { ...policy, pipeline } : pipeline

/** How often a call is repeated: three times where `retry` does not say. */
export const retries = (policy: Policy): number => {
  const retry = record(pipelineOf(policy)["retry"])
  if (retry === undefined) return 0
  return typeof retry["times"] === "number" ? retry["times"] : 3
}

export const withRetries = (scenario: Scenario, times: number): Scenario => {
  const pipeline = pipelineOf(scenario.yours)
  const next = times === 0
    ? without(pipeline, "retry")
    : { ...pipeline, retry: { ...record(pipeline["retry"]), times } }
  return yours(scenario, withPipeline(scenario.yours, next))
}

export const budgets = [
  { name: "none", words: "no limit", value: undefined },
  { name: "usual", words: "20 % and 10 a second each", value: { ratio: 0.2, minPerSecond: 10 } },
  { name: "standard", words: "10 % (standard)", value: { burst: 3 } },
  { name: "own", words: "another (see all settings)", value: undefined }
] as const

export const budget = (policy: Policy): string => {
  const own = pipelineOf(policy)["budget"]
  if (own === undefined) return "none"
  return budgets.find(({ value }) => JSON.stringify(value) === JSON.stringify(own))?.name ?? "own"
}

export const withBudget = (scenario: Scenario, name: string): Scenario => {
  if (name === "own") return scenario
  const value = budgets.find((budget) => budget.name === name)?.value
  const pipeline = pipelineOf(scenario.yours)
  const next = value === undefined ? without(pipeline, "budget") : { ...pipeline, budget: value }
  return yours(scenario, withPipeline(scenario.yours, next))
}

/** The load in percent of the capacity, where calls come at a rate. */
export const load = (world: World, facts: Facts | undefined): number | undefined =>
  facts !== undefined && "open" in world.arrivals
    ? Math.round(world.arrivals.open.perSecond / facts.capacity * 100)
    : undefined

export const withLoad = (scenario: Scenario, facts: Facts | undefined, percent: number): Scenario => {
  if (facts === undefined) return scenario
  const at = (world: World): World =>
    "open" in world.arrivals
      ? {
        ...world,
        arrivals: { open: { ...world.arrivals.open, perSecond: Math.round(facts.capacity * percent) / 100 } }
      }
      : world
  return {
    ...scenario,
    world: at(scenario.world),
    ...(scenario.saferWorld === undefined ? {} : { saferWorld: at(scenario.saferWorld) })
  }
}

/** What a lane does, in a few words: its policy, and what its server does otherwise. */
export const words = (policy: Policy, world: World): string => {
  const pipeline = pipelineOf(policy)
  const times = retries(policy)
  const tiers = [world.tiers ?? []].flat()
  const retrying = tiers.filter((tier) => record(record(tier.policy)?.["retry"]) !== undefined).length
  const layers = tiers.length === 0 || times === 0
    ? ""
    : retrying === 0
    ? " in the first layer alone"
    : ` in each of ${retrying + 1} layers`
  const server = record(world.server) ?? {}
  const parts = [
    `${times === 0 ? "no retry" : times === 1 ? "1 retry" : `${times} retries`}${layers}${
      times === 0 ? "" : budgetWords(pipeline["budget"])
    }`,
    times === 0 ? undefined : jitterWords(pipeline["retry"]),
    breakerWords(pipeline["circuitBreaker"]),
    hedgeWords(pipeline["hedge"]),
    server["queue"] === "lifo" ? "server: newest first" : undefined,
    server["abandoned"] === "drop" ? "server: drops abandoned requests" : undefined,
    ...tiers.flatMap(({ policy }) => priorityWords(record(policy)?.["bulkhead"]))
  ]
  return parts.filter((part) => part !== undefined).join(", ")
}

/** Jitter is what most have, so its absence is told, and what was written. */
const jitterWords = (retry: unknown): string | undefined => {
  const jitter = record(record(retry)?.["backoff"])?.["jitter"]
  return typeof jitter === "string" ? `${jitter === "none" ? "no" : jitter} jitter` : undefined
}

const priorityWords = (bulkhead: unknown): ReadonlyArray<string> => {
  const options = record(bulkhead)
  if (options === undefined) return []
  const names = [options["priorities"] ?? []].flat()
  return [
    names.length === 0 ? "a full gateway rejects any call" : `a full gateway rejects ${String(names.at(-1))} first`
  ]
}

const budgetWords = (budget: unknown): string => {
  const own = record(budget)
  if (own === undefined) return ", no budget"
  const ratio = typeof own["ratio"] === "number" ? own["ratio"] : 0.1
  const floor = typeof own["minPerSecond"] === "number" ? ` + ${own["minPerSecond"]}/s` : ""
  const shared = typeof own["processes"] === "number" ? " shared by all" : ""
  return `, retry budget ${Math.round(ratio * 100)} % of calls${floor}${shared}`
}

/** What a breaker does is told here, for readers who meet one for the first time. */
const breakerWords = (breaker: unknown): string => {
  const own = record(breaker)
  if (own === undefined) return "no breaker"
  const rule = record(own["tripPolicy"])
  const consecutive = rule?.["consecutive"]
  if (typeof consecutive === "number") return `a breaker that pauses calls after ${consecutive} failures in a row`
  return rule?.["proportional"] === undefined
    ? "a breaker that pauses calls while many fail"
    : "a breaker that rejects calls while they fail"
}

const hedgeWords = (hedge: unknown): string | undefined => {
  const own = record(hedge)
  if (own === undefined) return undefined
  return typeof own["after"] === "string" ? `a hedge after ${own["after"]}` : "a hedge"
}

import type * as ResilientClient from "@effect-resilience/client/ResilientClient"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Exchange } from "./errors.ts"
import { httpProcess } from "./httpProcess.ts"
import type { Process } from "./processModel.ts"

type AnyPolicy = Policy.Policy<unknown, unknown, never, never>

/** What the clients of a process have: data, or what makes a policy. */
type Policing = Pipeline.Description | ResilientClient.Description | Effect.Effect<AnyPolicy> | undefined

export const make = (policy: Policing, line: string, request: Exchange): Effect.Effect<Process> => {
  if (policy === undefined) return Effect.succeed({ call: request, state: undefined })
  if (Effect.isEffect(policy)) return Effect.map(policy, (made) => processOf(made, request))
  requireArgument(
    Predicate.isObject(policy),
    "Lab.simulate.policy",
    "a description or an effect",
    JSON.stringify(policy)
  )
  if (isClient(policy)) return httpProcess(policy, line, request)
  // A limit of time, which none exceeds, brings the fast path.
  return Effect.map(Pipeline.make({ attemptTimeout: "Infinity", ...policy }), (made) => processOf(made, request))
}

/** Whether a description is that of a client. */
const isClient = (
  policy: Pipeline.Description | ResilientClient.Description
): policy is ResilientClient.Description => "baseUrl" in policy

const processOf = (policy: AnyPolicy, request: Exchange): Process => ({
  call: policy.execute(request),
  state: Effect.map(policy.snapshot, (now) => {
    if (policy.kind === "CircuitBreaker") return tagOf(now)
    return Predicate.hasProperty(now, "circuitBreaker") ? tagOf(now.circuitBreaker) : undefined
  })
})

const tagOf = (snapshot: unknown): string | undefined =>
  Predicate.hasProperty(snapshot, "_tag") && typeof snapshot._tag === "string" ? snapshot._tag : undefined

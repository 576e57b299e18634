import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as DeadlineHeader from "@effect-resilience/deadline/DeadlineHeader"
import type * as ApiError from "@effect-resilience/errors/ApiError"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as HttpRetry from "@effect-resilience/http/HttpRetry"
import * as Idempotency from "@effect-resilience/http/Idempotency"
import * as Operation from "@effect-resilience/http/Operation"
import * as Redaction from "@effect-resilience/http/Redaction"
import * as Redirects from "@effect-resilience/http/Redirects"
import * as ResponseLifetime from "@effect-resilience/http/ResponseLifetime"
import * as SendProgress from "@effect-resilience/http/SendProgress"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Endpoints from "@effect-resilience/limit/Endpoints"
import type * as Part from "@effect-resilience/pipeline/Part"
import type * as PipelineParts from "@effect-resilience/pipeline/Parts"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Semaphore from "effect/Semaphore"
import type * as Parts from "../Parts.ts"
import * as address from "./address.ts"
import { describe } from "./describe.ts"
import { ownParts, partsOf, pipelineOf, reader, type Settings, timeoutsOf } from "./description.ts"
import type { Authenticate, ClientError, Description, Options, ResilientClient } from "./models.ts"
import * as operations from "./operations.ts"
import { withRequest } from "./withRequest.ts"

type AnyPipeline = Pipeline.Pipeline<typeof Parts & { readonly deadline: typeof PipelineParts.deadline }>

type Response = HttpClientResponse.HttpClientResponse

/** What is being sent. What stands inside the authentication finds its credentials in the request. */
interface Sending {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly operation: Operation.Operation | undefined
}

const CurrentSending = /* @__PURE__ */ Context.Reference<Sending | undefined>(
  "@effect-resilience/client/CurrentSending",
  { defaultValue: () => undefined }
)

/** How calls of one operation, or of none that is described, are made. */
interface Plan {
  readonly run: Effect.Effect<Response, ClientError>
  readonly addsKeys: boolean
  readonly operation: (named: Operation.Operation | undefined, method: string) => Operation.Operation | undefined
}

/** A description at work. A reload makes the next one whole, and then uses that. */
interface State {
  readonly description: Description
  readonly pipeline: AnyPipeline
  readonly ofOperations: ReadonlyMap<string, AnyPipeline>
  readonly settings: Settings
  readonly base: address.Base
  readonly origins: ReadonlySet<string>
  readonly headers: Headers.Headers
  readonly hasHeaders: boolean
  readonly plan: Plan
  readonly plans: ReadonlyMap<string, Plan>
  readonly matching: ReadonlyArray<readonly [operations.Template, Operation.Operation]>
}

export const make = (
  first: Description,
  options: Options
): Effect.Effect<ResilientClient, never, HttpClient.HttpClient> => {
  const parts = partsOf(options.parts)
  const read = reader(parts)
  const { name } = read(first)
  return Effect.gen(function*() {
    const transport = yield* HttpClient.HttpClient
    const lock = Semaphore.makeUnsafe(1)

    const makePipeline = (
      settings: Settings,
      around: ReadonlyArray<Part.Around>,
      continues: AnyPipeline | undefined,
      policies: object = {},
      operation?: string
    ) =>
      // Which parts there are is data here.
      Pipeline.makeWith(pipelineOf(settings, operation) as never, {
        parts,
        around,
        classify: options.classify,
        policies: policies as never,
        continues
      }) as Effect.Effect<unknown> as Effect.Effect<AnyPipeline>

    const build = Effect.fnUntraced(function*(description: Description, settings: Settings, before?: State) {
      const base = settings.baseUrl[0]?.base as address.Base
      const around = settings.auth === undefined ? [] : [authentication(settings.auth, settings)]
      const pipeline = yield* makePipeline(settings, around, before?.pipeline, options.policies)
      const shared = yield* pipeline.policies
      const ofOperations = new Map<string, AnyPipeline>()
      for (const operation of Object.keys(settings.operations)) {
        const own = ownParts(settings, operation)
        // One that shared a policy and has its own now begins anew.
        const same = before !== undefined && sameKeys(own, ownParts(before.settings, operation))
        // A limit of time keeps nothing that could be shared, and may be the operation's.
        const policies = Object.fromEntries(
          Object.entries(shared).filter(([part]) => part !== "deadline" && !(part in own))
        )
        const continues = same ? before.ofOperations.get(operation) : undefined
        ofOperations.set(operation, yield* makePipeline(settings, around, continues, policies, operation))
      }
      const state: State = {
        description,
        settings,
        base,
        pipeline,
        ofOperations,
        origins: new Set([...settings.baseUrl.map((one) => one.base.origin), ...settings.origins]),
        headers: Headers.fromInput(settings.headers),
        hasHeaders: Object.keys(settings.headers).length > 0,
        plan: plan(settings, base, pipeline),
        plans: new Map([...ofOperations].map(([name, theirs]) => [name, plan(settings, base, theirs, name)])),
        matching: matchingOf(settings)
      }
      return state
    })

    const plan = (
      settings: Settings,
      base: address.Base,
      pipeline: AnyPipeline,
      name?: string
    ): Plan => {
      const said = name === undefined ? undefined : settings.operations[name]
      const timeouts = timeoutsOf(settings, name)
      const attempts = transport.pipe(
        // Without, `ErrorMapping` sees to it that nothing follows them.
        settings.redirects === undefined ? unchanged : Redirects.follow(settings.redirects),
        ErrorMapping.mapErrors({
          patterns: options.patterns,
          timeout: timeouts.attempt,
          connect: timeouts.connect,
          firstByte: timeouts.firstByte,
          idle: timeouts.idle,
          body: said?.body ?? settings.body
        }),
        settings.telemetry.attempts ? Telemetry.observeAttempts : Telemetry.hideAttempts,
        settings.accessLog.attempts ? AccessLog.logAttempts : unchanged,
        ResponseLifetime.attempts
      )
      const send = Effect.withFiber<Response, ApiError.ApiError>((fiber) => {
        const { request } = fiber.getRef(CurrentSending) as Sending
        const addressed = settings.baseUrl.length === 1
          ? request
          // The address that is chosen may be that of a client around this one.
          : address.rebase(request, base, fiber.getRef(Endpoints.Current))
        return attempts.execute(settings.propagation.deadline ? withDeadlineHeaders(addressed, fiber) : addressed)
      })
      const methods = new Set(settings.idempotency.methods)
      return {
        run: observed(settings, pipeline.execute(send)) as Effect.Effect<Response, ClientError>,
        addsKeys: said?.idempotencyKey ?? settings.idempotency.key,
        operation: (named, method) => {
          const idempotent = named?.idempotent ?? said?.idempotent ?? (methods.has(method) ? true : undefined)
          const appliedWhenWhole = named?.appliedWhenWhole ?? said?.appliedWhenWhole
          if (idempotent === named?.idempotent && appliedWhenWhole === named?.appliedWhenWhole) return named
          const { endpoint, name } = named ?? unnamed
          return { name, endpoint, idempotent, appliedWhenWhole }
        }
      }
    }

    let state = yield* build(first, read(first))

    const execute = (written: HttpClientRequest.HttpClientRequest) =>
      Effect.withFiber<Response, ClientError>((fiber) => {
        const { base, hasHeaders, headers, matching, origins, plan, plans, settings } = state
        const resolved = address.resolve(written, base, origins)
        const outer = fiber.getRef(CurrentSending)
        const around = fiber.getRef(Operation.Current)
        // A call within a call, such as one for a signature, is another one, whatever the operation around both.
        const own = outer === undefined || around !== outer.operation ? around : undefined
        if (resolved === undefined) {
          return observed(
            settings,
            Effect.fail(
              new address.ForeignUrl({ client: name, origin: address.originOf(written.url), allowed: [...origins] })
            )
          ).pipe(Effect.provideService(Operation.Current, own ?? (outer && { ...unnamed })))
        }
        const named = own ?? matched(matching, base, resolved)
        const { addsKeys, operation, run } = (named && plans.get(named.name)) ?? plan
        const current = operation(named, resolved.method) ?? (outer && { ...unnamed })
        const withHeaders = hasHeaders
          ? HttpClientRequest.updateHeaders(resolved, (own) => Headers.merge(headers, own))
          : resolved
        const { request, shortage } = HttpRetry.guardBody(
          addsKeys ? Idempotency.withKeyUnsafe(withHeaders, current, fiber) : withHeaders
        )
        const sent = Direct.updateContext(run, (context) =>
          context.pipe(
            Context.add(CurrentSending, { request, operation: current }),
            having(Operation.Current, current),
            having(Repetition.Current, Idempotency.repetitionOf(current, request)),
            having(HttpClient.TracerPropagationEnabled, settings.propagation.trace)
          ))
        const call = Effect.map(ResponseLifetime.judgedToEnd(sent), (response) => withRequest(response, request))
        return shortage === undefined ? call : Effect.mapError(call, (error) => shortage() ?? error)
      })

    const client = HttpClient.makeWith<never, never, ClientError, never>(Effect.flatMap(execute), Effect.succeed)
    return Object.assign(client, {
      name,
      reload: (description: Description) => {
        const settings = read(description)
        requireArgument(settings.name === name, "ResilientClient.name", `${name}, as before`, settings.name)
        const load = Effect.map(Effect.suspend(() => build(description, settings, state)), (next) => {
          state = next
        })
        return lock.withPermit(Effect.uninterruptible(load))
      },
      description: Effect.sync(() => state.description),
      describe: Effect.suspend(() => {
        const { ofOperations, pipeline, settings } = state
        const theirs = Effect.all(
          [...ofOperations].map(([operation, { describe }]) =>
            Effect.map(describe, (text) => [operation, text] as const)
          )
        )
        return Effect.zipWith(
          pipeline.describe,
          theirs,
          (own, theirs) => describe(settings, own, theirs, SendProgress.isReporting(transport))
        )
      }),
      status: Effect.suspend(() => state.pipeline.status),
      snapshot: Effect.suspend(() => state.pipeline.snapshot),
      policies: Effect.suspend(() => state.pipeline.policies)
    })
  })
}

const unchanged = <A>(value: A): A => value

/** Adds what the context does not have. Each read of a context costs more with each value that was added. */
const having = <S>(reference: Context.Reference<S>, value: S) => <R>(context: Context.Context<R>): Context.Context<R> =>
  Context.get(context, reference) === value ? context : Context.add(context, reference, value)

/** With the line and the span of a call, where the description has them. */
const observed = <E, R>(
  { accessLog, redaction, telemetry }: Settings,
  self: Effect.Effect<Response, E, R>
): Effect.Effect<Response, E, R> =>
  self.pipe(
    telemetry.calls ? Telemetry.observeCall : unchanged,
    accessLog.calls ? AccessLog.logCall : unchanged,
    redaction === undefined ? unchanged : Redaction.provide(Redaction.make(redaction))
  )

const unnamed: Operation.Operation = { name: "unnamed", endpoint: Operation.endpointOf(undefined) }

/** Puts credentials into the requests that go to the client's own origins. */
const authentication = (auth: Authenticate, { baseUrl }: Settings) => {
  const origins = baseUrl.flatMap(({ base }) => base.trusted ?? [])
  return Pipeline.around("authentication", "for the base URLs only", (self) => {
    const inner = HttpClient.makeWith<never, never, unknown, never>(
      Effect.flatMap((request) =>
        Effect.updateContext(
          self as Effect.Effect<never>,
          (context: Context.Context<never>) =>
            Context.add(context, CurrentSending, { request, operation: Context.get(context, Operation.Current) })
        )
      ),
      Effect.succeed
    )
    const clients = origins.map((origin) => ({ href: origin.href, client: auth(inner, origin) }))
    return Effect.withFiber((fiber) => {
      const { request } = fiber.getRef(CurrentSending) as Sending
      const trusted = clients.find(({ href }) => address.isBelow(href, request.url))
      return trusted === undefined ? self : trusted.client.execute(request) as Effect.Effect<never>
    })
  })
}

const sameKeys = (one: object, other: object): boolean => {
  const keys = Object.keys(one)
  return keys.length === Object.keys(other).length && keys.every((key) => key in other)
}

const matchingOf = ({ operations: described }: Settings): State["matching"] =>
  Object.entries(described).flatMap(([name, { endpoint }]) =>
    endpoint === undefined ? [] : [[endpoint, { name, endpoint: endpoint.path }] as const]
  ).sort(([one], [other]) => operations.compare(one, other))

const matched = (
  matching: State["matching"],
  base: address.Base,
  { method, url }: HttpClientRequest.HttpClientRequest
): Operation.Operation | undefined => {
  const segments = matching.length === 0 ? undefined : operations.segmentsBelow(url, base.href)
  return segments && matching.find(([template]) => operations.fits(template, method, segments))?.[1]
}

const withDeadlineHeaders = (
  request: HttpClientRequest.HttpClientRequest,
  fiber: Fiber.Fiber<unknown, unknown>
): HttpClientRequest.HttpClientRequest => {
  const left = Deadline.remainingMillisUnsafe(fiber)
  if (left === Infinity) return request
  // Their names are in lower case, which is all that `Headers.fromInput` would see to, at twice the cost of the rest.
  const headers = DeadlineHeader.write(Duration.millis(left)) as unknown as Headers.Headers
  return HttpClientRequest.updateHeaders(request, (own) => Headers.merge(own, headers))
}

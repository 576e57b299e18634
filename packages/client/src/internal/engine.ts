import * as Origin from "@effect-resilience/auth/Origin"
import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as DeadlineHeader from "@effect-resilience/deadline/DeadlineHeader"
import type * as ApiError from "@effect-resilience/errors/ApiError"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as HttpRetry from "@effect-resilience/http/HttpRetry"
import * as Idempotency from "@effect-resilience/http/Idempotency"
import * as Operation from "@effect-resilience/http/Operation"
import * as Redirects from "@effect-resilience/http/Redirects"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Endpoints from "@effect-resilience/limit/Endpoints"
import type * as Part from "@effect-resilience/pipeline/Part"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as address from "./address.ts"
import { parts, pipelineOf, read, type Settings } from "./description.ts"
import type { Authenticate, ClientError, Description, Options, ResilientClient } from "./models.ts"
import * as operations from "./operations.ts"

type AnyPipeline = Pipeline.Pipeline<typeof parts>

type Response = HttpClientResponse.HttpClientResponse

/**
 * The request of the attempt that runs, and the description that its call began with. What stands inside the authentication finds
 * its credentials in it.
 */
interface Sending {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly state: State
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

/** A description at work. */
interface State {
  readonly description: Description
  readonly settings: Settings
  readonly base: address.Base
  readonly origins: ReadonlySet<string>
  /** Where credentials go. */
  readonly trusted: ReadonlyArray<Origin.Origin>
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
  const { name } = read(first)
  return Effect.gen(function*() {
    const transport = yield* HttpClient.HttpClient
    let state: State

    const authentication = Pipeline.around("authentication", "tokens", (self) => {
      const inner = HttpClient.makeWith<never, never, unknown, never>(
        Effect.flatMap((attached) =>
          Effect.withFiber((fiber) =>
            Effect.provideService(self, CurrentSending, {
              ...fiber.getRef(CurrentSending) as Sending,
              request: attached
            }) as Effect.Effect<never>
          )
        ),
        Effect.succeed
      )
      // The latest one.
      let made:
        | { readonly auth: Authenticate; readonly origin: Origin.Origin; readonly client: typeof inner }
        | undefined
      return Effect.withFiber((fiber) => {
        const sending = fiber.getRef(CurrentSending)
        if (sending === undefined) return self
        const { request, state: { settings: { auth }, trusted } } = sending
        if (auth === undefined) return self
        const origin = trusted.find(({ href }) => address.isBelow(href, request.url))
        if (origin === undefined) return self
        if (made?.auth !== auth || made.origin !== origin) made = { auth, origin, client: auth(inner, origin) }
        return made.client.execute(request) as Effect.Effect<never>
      })
    })

    const makePipeline = (description: Part.Description, policies: Pipeline.PoliciesOf<typeof parts> = {}) =>
      // Which parts there are is data here.
      Pipeline.make(description as never, {
        parts,
        around: [authentication],
        classify: options.classify,
        policies: policies as never
      }) as Effect.Effect<unknown> as Effect.Effect<AnyPipeline>

    const pipeline = yield* makePipeline(pipelineOf(read(first)), options.policies)

    const load = Effect.fnUntraced(function*(description: Description) {
      const settings = read(description)
      const base = settings.baseUrl[0]?.base as address.Base
      const shared = yield* pipeline.policies
      const plans = new Map<string, Plan>()
      const matching: Array<readonly [operations.Template, Operation.Operation]> = []
      for (const [operation, { endpoint, pipeline: own }] of Object.entries(settings.operations)) {
        const policies = Object.fromEntries(Object.entries(shared).filter(([part]) => !(part in own)))
        const theirs = yield* makePipeline(pipelineOf(settings, operation), policies)
        plans.set(operation, plan(settings, base, theirs, operation))
        if (endpoint !== undefined) {
          const template = operations.parse(endpoint, `ResilientClient.operations.${operation}.endpoint`)
          matching.push([template, { name: operation, endpoint: template.path }])
        }
      }
      state = {
        description,
        settings,
        base,
        origins: new Set([...settings.baseUrl.map((one) => one.base.origin), ...settings.origins]),
        trusted: settings.auth === undefined ? [] : settings.baseUrl.map((one) => Origin.make(one.base.origin)),
        headers: Headers.fromInput(settings.headers),
        hasHeaders: Object.keys(settings.headers).length > 0,
        plan: plan(settings, base, pipeline),
        plans,
        matching
      }
    })

    const plan = (
      settings: Settings,
      base: address.Base,
      pipeline: AnyPipeline,
      name?: string
    ): Plan => {
      const said = name === undefined ? undefined : settings.operations[name]
      const timeouts = { ...settings.timeouts, ...said?.timeouts }
      const attempts = transport.pipe(
        // Without, `ErrorMapping` sees to it that nothing follows them.
        settings.redirects === undefined ? (client) => client : Redirects.follow(settings.redirects),
        settings.propagation.deadline ? withDeadlineHeaders : (client) => client,
        ErrorMapping.mapErrors({
          patterns: options.patterns,
          timeout: timeouts.attempt,
          body: said?.body ?? settings.body
        }),
        Telemetry.observeAttempts,
        AccessLog.logAttempts
      )
      const send = Effect.withFiber<Response, ApiError.ApiError>((fiber) => {
        const { request } = fiber.getRef(CurrentSending) as Sending
        // The address that is chosen may be that of a client around this one.
        return attempts.execute(
          settings.baseUrl.length === 1 ? request : address.rebase(request, base, fiber.getRef(Endpoints.Current))
        )
      })
      const methods = new Set(settings.idempotency.methods)
      return {
        run: AccessLog.logCall(Telemetry.observeCall(pipeline.execute(send))) as Effect.Effect<Response, ClientError>,
        addsKeys: said?.idempotencyKey ?? settings.idempotency.key,
        operation: (named, method) => {
          const idempotent = named?.idempotent ?? said?.idempotent ?? (methods.has(method) ? true : undefined)
          const appliedWhenWhole = named?.appliedWhenWhole ?? said?.appliedWhenWhole
          if (idempotent === named?.idempotent && appliedWhenWhole === named?.appliedWhenWhole) return named
          const { endpoint, name } = named ?? { name: "unnamed", endpoint: Operation.endpointOf(undefined) }
          return { name, endpoint, idempotent, appliedWhenWhole }
        }
      }
    }

    yield* load(first)

    const execute = (written: HttpClientRequest.HttpClientRequest) =>
      Effect.withFiber<Response, ClientError>((fiber) => {
        const present = state
        const { base, hasHeaders, headers, matching, origins, plan, plans, settings } = present
        const resolved = address.resolve(written, base, origins)
        if (resolved === undefined) {
          return Effect.fail(
            new address.ForeignUrl({ client: name, origin: address.originOf(written.url), allowed: [...origins] })
          )
        }
        const named = fiber.getRef(Operation.Current) ?? matched(matching, base, resolved)
        const { addsKeys, operation, run } = (named && plans.get(named.name)) ?? plan
        const current = operation(named, resolved.method)
        const withHeaders = hasHeaders
          ? HttpClientRequest.updateHeaders(resolved, (own) => Headers.merge(headers, own))
          : resolved
        const { request, shortage } = HttpRetry.guardBody(
          addsKeys ? Idempotency.withKeyUnsafe(withHeaders, current, fiber) : withHeaders
        )
        const call = Effect.updateContext(run, (context: Context.Context<never>) =>
          context.pipe(
            Context.add(CurrentSending, { request, state: present }),
            having(Operation.Current, current),
            having(Repetition.Current, Idempotency.repetitionOf(current, request)),
            having(HttpClient.TracerPropagationEnabled, settings.propagation.trace)
          ))
        return shortage === undefined ? call : Effect.mapError(call, (error) => shortage() ?? error)
      })

    const client = HttpClient.makeWith<never, never, ClientError, never>(Effect.flatMap(execute), Effect.succeed)
    return Object.assign(client, {
      name,
      reload: (description: Description) => {
        const settings = read(description)
        requireArgument(settings.name === name, "ResilientClient.name", `${name}, as before`, settings.name)
        return Effect.uninterruptible(
          Effect.andThen(pipeline.reload(pipelineOf(settings) as never), load(description))
        )
      },
      description: Effect.sync(() => state.description),
      describe: pipeline.describe,
      status: pipeline.status
    })
  })
}

/** Adds what the context does not have. Whoever reads a context pays for each value that was added. */
const having = <S>(reference: Context.Reference<S>, value: S) => <R>(context: Context.Context<R>): Context.Context<R> =>
  Context.get(context, reference) === value ? context : Context.add(context, reference, value)

const matched = (
  matching: State["matching"],
  base: address.Base,
  { method, url }: HttpClientRequest.HttpClientRequest
): Operation.Operation | undefined => {
  if (matching.length === 0 || !address.isBelow(base.href, url)) return undefined
  const path = url.slice(base.href.length).replace(/[?#].*$/, "")
  return matching.find(([template]) => operations.fits(template, method, path))?.[1]
}

const withDeadlineHeaders = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  HttpClient.makeWith<E, R, E, R>(
    Effect.flatMap((request) =>
      Effect.withFiber((fiber) => {
        const left = Deadline.remainingMillisUnsafe(fiber)
        return client.postprocess(Effect.succeed(
          left === Infinity
            ? request
            : HttpClientRequest.setHeaders(request, DeadlineHeader.write(Duration.millis(left)))
        ))
      })
    ),
    client.preprocess
  )

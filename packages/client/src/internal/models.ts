import type * as AuthError from "@effect-resilience/auth/AuthError"
import type * as Origin from "@effect-resilience/auth/Origin"
import type * as ApiError from "@effect-resilience/errors/ApiError"
import type * as Classifier from "@effect-resilience/errors/Classifier"
import type * as MessagePattern from "@effect-resilience/errors/MessagePattern"
import type * as HttpRetry from "@effect-resilience/http/HttpRetry"
import type * as Redirects from "@effect-resilience/http/Redirects"
import type * as Endpoints from "@effect-resilience/limit/Endpoints"
import type * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import type * as Status from "@effect-resilience/pipeline/Status"
import type * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import type * as PolicyMetrics from "@effect-resilience/retry/PolicyMetrics"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Parts from "../Parts.ts"
import type { ForeignUrl } from "./address.ts"
import type * as standard from "./standard.ts"

/**
 * A client from a description. Its errors are those of responses, and those of the policies that the description names.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResilientClient<E = ClientError> extends HttpClient.HttpClient.With<E> {
  /** The name of the client, which its policies, metrics and spans carry. */
  readonly name: string
  /**
   * Takes a new description for the calls that begin from now on. The name stays. Policies whose options mean the same keep what they
   * know. Throws `RangeError` where it makes no sense.
   */
  readonly reload: (description: DescriptionWithin<E>) => Effect.Effect<void>
  /** The present description. */
  readonly description: Effect.Effect<Description>
  /** What happens to a call, outside in, a line each; then what operations have otherwise. */
  readonly describe: Effect.Effect<string>
  /** The policies of the client with their present numbers, for `Status`. */
  readonly status: Effect.Effect<Status.PipelineStatus>
  /** What the policies of the client look like, by the keys of its pipeline. */
  readonly snapshot: Effect.Effect<unknown>
  /** The policies of the client, for `PolicyMetrics`: `PolicyMetrics.layer([client])`. Those of single operations are not among them. */
  readonly policies: NonNullable<PolicyMetrics.Observed["policies"]>
}

/**
 * What a call fails with, whatever the description names.
 *
 * @category errors
 * @since 0.1.0
 */
export type ClientError =
  | AuthError.AuthError
  | AlwaysError
  | Pipeline.PipelineError<Omit<Pipeline.Parts, "attemptTimeout">>

/**
 * What each client can fail with, whatever its description says.
 *
 * @category errors
 * @since 0.1.0
 */
export type AlwaysError =
  | ApiError.ApiError
  | ForeignUrl
  | HttpRetry.BodyNotReplayable
  | Pipeline.PipelineError<Pick<Pipeline.Parts, "deadline">>

/**
 * What a call fails with, if the client has this description.
 *
 * @category errors
 * @since 0.1.0
 */
export type ErrorOf<D extends Description> = Errors<D>["error"]

/**
 * The errors of a client with this description. `make` returns them by this interface, since editors show the arguments of an alias,
 * which is the whole description, instead of the errors.
 *
 * @category errors
 * @since 0.1.0
 */
export interface Errors<D extends Description> {
  /** `ErrorOf` is this. */
  readonly error:
    | AlwaysError
    | (OptionOf<D, "auth"> extends undefined ? never : AuthError.AuthError)
    | Pipeline.PipelineError<Pick<Pipeline.Parts, PartsOf<D>>>
}

type PartsOf<D extends Description> =
  | NamedIn<Exclude<OptionOf<D, "pipeline">, undefined>>
  | (undefined extends OptionOf<D, "pipeline"> ? NamedIn<typeof standard.pipeline> : never)
  | PartsOfOperations<Exclude<OptionOf<D, "operations">, undefined>>

type OptionOf<D, K> = K extends keyof D ? D[K] : undefined

type PartsOfOperations<O> = {
  [K in keyof O]: O[K] extends { readonly pipeline?: infer P } ? NamedIn<Exclude<P, undefined>> : never
}[keyof O]

type NamedIn<P> = {
  [K in keyof P & keyof PipelineOptions]: P[K] extends undefined ? never : K
}[keyof P & keyof PipelineOptions]

/**
 * What a description of this type has to be for a client that is given the parts `P`: anything if those are all that it names besides
 * the standard, otherwise `MissingParts`.
 *
 * @category models
 * @since 0.1.0
 */
export type Supplied<D extends Description, P> = [Exclude<FurtherPartsOf<D>, KnownIn<P>>] extends [never] ? unknown
  : MissingParts<Exclude<FurtherPartsOf<D>, KnownIn<P>>>

/**
 * The parts that a description names and its client is not given. Its keys, which are never present, are what the compiler says.
 *
 * @category models
 * @since 0.1.0
 */
export type MissingParts<Part extends string> = {
  readonly [K in Part as `Give the client { parts: { ${K}: Parts.${K} } }`]: never
}

/**
 * Options with the parts `P`.
 *
 * - `parts`: what the description names besides the standard, as in `Options`.
 *
 * @category models
 * @since 0.1.0
 */
export type Supplying<P, O extends Options = Options> = Omit<O, "parts"> & { readonly parts?: P | undefined }

/**
 * Some of the parts.
 *
 * @category models
 * @since 0.1.0
 */
export interface SomeParts extends Partial<typeof Parts> {}

// Those that are there whatever the value.
type KnownIn<P> = { [K in keyof P]-?: undefined extends P[K] ? never : K }[keyof P]

type FurtherPartsOf<D extends Description> =
  | FurtherIn<Exclude<OptionOf<D, "pipeline">, undefined>>
  | FurtherInOperations<OptionOf<D, "operations">>
  | (D["baseUrl"] extends readonly [unknown, unknown, ...ReadonlyArray<unknown>] ? "endpoints" : never)

// What is not known to the types is not asked for: a description may be data.
type FurtherIn<P> = PipelineOptions extends P ? never
  : Exclude<NamedIn<P>, keyof typeof standard.pipeline> | BudgetIn<P>

// One of the kinds is another part than the budget of the standard.
type BudgetIn<P> = P extends { readonly budget: infer B } ? keyof B & keyof AttemptBudget.Kinds extends never ? never
  : "budget"
  : never

type FurtherInOperations<O> = {
  [K in keyof O]: O[K] extends { readonly pipeline?: infer P } ? FurtherIn<Exclude<P, undefined>> : never
}[keyof O]

/**
 * Descriptions whose clients fail with nothing but `E`.
 *
 * @category models
 * @since 0.1.0
 */
export type DescriptionWithin<E> = [ClientError] extends [E] ? Description
  :
    & Omit<Description, "auth" | "pipeline" | "operations">
    & {
      readonly auth?: AuthError.AuthError extends E ? Authenticate | undefined : never
      // The standard where it is left out.
      readonly pipeline: PipelineWithin<E>
      readonly operations?: {
        readonly [name: string]: Omit<OperationOptions, "pipeline"> & { readonly pipeline?: PipelineWithin<E> }
      }
    }

type PipelineWithin<E> = {
  readonly [K in keyof PipelineOptions]?: Pipeline.PipelineError<Pick<Pipeline.Parts, K>> extends E ? PipelineOptions[K]
    : never
}

/**
 * A client as data. All but `auth` can be JSON; there, `auth` is a name.
 *
 * - `accessLog`, `telemetry`: what is told of calls and attempts. The lines go to the `AccessLog` of the fiber, which is silent by
 *   default; `telemetry` is spans and metrics.
 *
 * @category models
 * @since 0.1.0
 */
export interface Description {
  /** The client's, in errors, logs and metrics. */
  readonly name: string
  /** What relative URLs are below: one address, or several, of which each attempt chooses one. */
  readonly baseUrl: Endpoints.Addresses
  /** How an attempt chooses one of several base URLs. */
  readonly endpoints?: EndpointsOptions | undefined
  /** The policies; default `standard.pipeline`. It replaces the default whole: what it does not name is left out. */
  readonly pipeline?: PipelineOptions | undefined
  /** Limits of time. */
  readonly timeouts?: Timeouts | undefined
  /** What may be sent twice. */
  readonly idempotency?: Idempotency | undefined
  /** Which are followed; default none. */
  readonly redirects?: Redirects.Options | undefined
  /** Which bodies an attempt reads itself; see `ErrorMapping.Options`. Default `"json"`. */
  readonly body?: "json" | "whole" | "stream" | undefined
  /** Sent with each request. Not for secrets. */
  readonly headers?: { readonly [name: string]: string } | undefined
  /** Further origins that absolute URLs may name. They get no credentials. */
  readonly origins?: string | ReadonlyArray<string> | undefined
  /** What goes on with a request. */
  readonly propagation?: Propagation | undefined
  readonly accessLog?: Telling | undefined
  readonly telemetry?: Telling | undefined
  /** What spans and printed requests may show, besides what they always may. */
  readonly redaction?: Shown | undefined
  /** How requests are authenticated, made by `tokens`; default not at all. JSON names it, and a table of functions has it. */
  readonly auth?: Authenticate | undefined
  /** What is different for some, by the names that `Operation.within` gives. */
  readonly operations?: { readonly [name: string]: OperationOptions } | undefined
}

/**
 * How an attempt chooses one of several base URLs.
 *
 * @category models
 * @since 0.1.0
 */
export interface EndpointsOptions extends Omit<Endpoints.Options, "name" | "addresses" | "each" | "classify"> {}

/**
 * The policies of a client. Its limits of time are `timeouts`.
 *
 * @category models
 * @since 0.1.0
 */
export interface PipelineOptions extends Omit<Pipeline.Description, "name" | "deadline" | "attemptTimeout"> {}

/**
 * Limits of time. `Duration.infinity` switches one off.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timeouts {
  /**
   * For a call with all its attempts and waits, until its response is read; default 30 seconds. A response that is read as a
   * stream has its headers by then, and lasts as long as `idle` permits: limit the whole of it by `StreamTimeout` of
   * `deadline`. The server is told of `total` with the request, before anybody knows how the response is read: give operations
   * that last another one if it goes by that.
   */
  readonly total?: Duration.Input | undefined
  /** For an attempt, until its response's headers and what `body` reads have arrived; default 10 seconds. */
  readonly attempt?: Duration.Input | undefined
  /**
   * Until there is a connection; default 10 seconds. Transports that do not say how far a request came, such as `fetch`, cannot
   * be limited so.
   */
  readonly connect?: Duration.Input | undefined
  /** Until the response's headers have arrived; default `attempt`. */
  readonly firstByte?: Duration.Input | undefined
  /** Between two pieces of a body, and how long a long one may stay unread; default 1 minute. */
  readonly idle?: Duration.Input | undefined
}

/**
 * What may be sent twice.
 *
 * @category models
 * @since 0.1.0
 */
export interface Idempotency {
  /**
   * Further methods that are idempotent here, beside those that always are (GET, HEAD, OPTIONS, TRACE, PUT, DELETE, QUERY);
   * default none.
   */
  readonly methods?: string | ReadonlyArray<string> | undefined
  /**
   * Whether the server honours `Idempotency-Key`; default false. Requests that are not idempotent get one then, and are
   * repeated. A key that the server ignores permits a second order.
   */
  readonly key?: boolean | undefined
}

/**
 * What goes on with a request, to the origins of the client only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Propagation {
  /** The time that is left, as `DeadlineHeader` writes it; default true. */
  readonly deadline?: boolean | undefined
  /** `traceparent`; default true. */
  readonly trace?: boolean | undefined
}

/**
 * What is told.
 *
 * @category models
 * @since 0.1.0
 */
export interface Telling {
  /** Of each call; default true. */
  readonly calls?: boolean | undefined
  /** Of each attempt; default true. */
  readonly attempts?: boolean | undefined
}

/**
 * Names whose values may be shown, besides those of `Redaction.plainHeaders`; default none. A parameter that is not named appears
 * as `REDACTED`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Shown {
  /** Of requests and responses. */
  readonly headers?: string | ReadonlyArray<string> | undefined
  /** Parameters of addresses. */
  readonly query?: string | ReadonlyArray<string> | undefined
}

/**
 * What is different for an operation.
 *
 * @category models
 * @since 0.1.0
 */
export interface OperationOptions {
  /**
   * A method and the path as a template, such as `"POST /orders/{id}"`. A call that has no `Operation` and that it fits gets
   * this one.
   */
  readonly endpoint?: string | undefined
  /** Whether sending it twice leaves the same state as sending it once. Default: the method decides. */
  readonly idempotent?: boolean | undefined
  /** Whether the server applies it only once it has the last byte of its body, as with uploads; default false. */
  readonly appliedWhenWhole?: boolean | undefined
  /** Whether the server honours `Idempotency-Key` here; default as the client has it. */
  readonly idempotencyKey?: boolean | undefined
  /** Limits of time; what is left out is the client's. */
  readonly timeouts?: Timeouts | undefined
  /** The policies that it has for itself; all others are shared with the client. */
  readonly pipeline?: PipelineOptions | undefined
  /** The parts of the client's pipeline that it leaves out, such as `"retry"`. */
  readonly without?: keyof PipelineOptions | ReadonlyArray<keyof PipelineOptions> | undefined
  /** Which bodies an attempt reads itself; default as the client has it. */
  readonly body?: "json" | "whole" | "stream" | undefined
}

/**
 * Puts credentials into the requests of a client. `origin` is the only place where they may go.
 *
 * Several base URLs are one service: an attempt gets its credentials before it chooses one, those for the first. Where each takes its
 * own, or signs its own address, make a client for each.
 *
 * @category models
 * @since 0.1.0
 */
export interface Authenticate {
  <E, R>(
    client: HttpClient.HttpClient.With<E, R>,
    origin: Origin.Origin
  ): HttpClient.HttpClient.With<E | AuthError.AuthError, R> | HttpClient.HttpClient.With<E, R>
}

/**
 * What is not data.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Explain the API's messages, for `ErrorMapping`. */
  readonly patterns?: ReadonlyArray<MessagePattern.MessagePattern> | undefined
  /** The recovery of errors that do not carry the right one. */
  readonly classify?: Classifier.Classifier | undefined
  /**
   * What the description names besides the standard: those parts, or all, `{ parts: Parts }`. One that is decoded can name any.
   */
  readonly parts?: SomeParts | undefined
  /** Policies made elsewhere, such as a `SharedCircuitBreaker`, in place of those that the description names. */
  readonly policies?: Pipeline.PoliciesOf<Omit<Pipeline.Parts, "deadline" | "attemptTimeout">> | undefined
}

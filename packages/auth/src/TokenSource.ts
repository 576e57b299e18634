/**
 * Obtains one access token.
 *
 * **Details**
 *
 * A source only obtains a token. `TokenCache` decides when to ask it and how long to use the token, and lets callers share it.
 *
 * **Example** (A login by request)
 *
 * ```ts import.meta.vitest
 * import { Grant, TokenSource } from "@effect-resilience/auth"
 * import { ErrorMapping } from "@effect-resilience/http"
 * import { Effect, Redacted } from "effect"
 * import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
 *
 * const fake = HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, new Response("{}", { headers: { "x-token": "t-1" } })))
 * )
 * const client = ErrorMapping.mapErrors(fake)
 *
 * const source = TokenSource.login({
 *   credentials: Effect.succeed({ key: "K1", secret: Redacted.make("s3cr3t") }),
 *   identity: ({ key, secret }) => ["https://login.example.com", key, secret],
 *   login: ({ key, secret }) =>
 *     HttpClientRequest.post("https://login.example.com/session").pipe(
 *       HttpClientRequest.bodyJsonUnsafe({ key, secret: Redacted.value(secret) }),
 *       client.execute,
 *       Effect.flatMap(Grant.fromResponse({ headers: ["x-token"] }))
 *     )
 * })
 *
 * const grant = await Effect.runPromise(source.acquire(undefined))
 * Redacted.value(grant.value) // => "t-1"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Operation from "@effect-resilience/http/Operation"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Arr from "effect/Array"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as AuthError from "./AuthError.ts"
import type { Grant } from "./Grant.ts"
import { stopAfterRejection } from "./internal/rejection.ts"
import type { Identity, TokenSource } from "./internal/source.ts"

export type { Identity, TokenSource }

/**
 * Logs in with credentials. It reads them for each login, so that rotated keys take effect without a restart.
 *
 * - `identity`: of these credentials; its secrets are registered with the current `Scrubber`.
 * - `login`: failures of the call become `Rejected` or `Unavailable` (`AuthError.fromFailure`). It runs as the operation
 *   `log in`, which is idempotent. Name the operation yourself for a better endpoint.
 * - `credentials`: reads the credentials.
 *
 * @category constructors
 * @since 0.1.0
 */
export const login = <C>(options: {
  readonly credentials: Effect.Effect<C, AuthError.AuthError>
  readonly identity: (credentials: C) => Identity
  readonly login: (credentials: C) => Effect.Effect<Grant, Error & Recovery.Recoverable>
}): TokenSource => {
  const credentials = Effect.tap(options.credentials, (credentials) => register(options.identity(credentials)))
  return {
    identity: Effect.map(credentials, options.identity),
    acquire: () =>
      Effect.flatMap(credentials, options.login).pipe(
        Effect.mapError(AuthError.fromFailure),
        Operation.within(logIn)
      )
  }
}

/**
 * Obtains tokens with any effect.
 *
 * - `identity`: whose tokens they are. Equal identities may share a token.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromEffect = (
  acquire: Effect.Effect<Grant, AuthError.AuthError>,
  options: { readonly identity: Identity }
): TokenSource => ({
  identity: Effect.as(register(options.identity), options.identity),
  acquire: () => acquire
})

/**
 * One token that never expires, such as a personal access token. Where the API rejects it the call fails with
 * `StillUnauthorized`, since there is no other token to replay it with.
 *
 * @category constructors
 * @since 0.1.0
 */
export const constant = (value: Redacted.Redacted): TokenSource => fromCredential(Effect.succeed(value))

/**
 * A token from configuration, for example from an environment variable. It never expires. When the API rejects it, it is
 * read again, and the call fails with `StillUnauthorized` where the configuration holds no other.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromConfig = (config: Config.Config<Redacted.Redacted>): TokenSource =>
  fromCredential(
    Effect.mapError(
      config,
      (error) => notConfigured(error.message)
    )
  )

/**
 * A token that a command prints, such as `gcloud auth print-access-token`.
 *
 * - `read`: finds the token and its end in the output; by default the token is all of it, trimmed.
 * - `identity`: whose tokens they are. Equal identities may share a token.
 *
 * **Details**
 *
 * - `NotConfigured`: the command cannot be started.
 * - `Unavailable`, worth a retry: the command fails.
 * - `Unavailable`, not worth one: the command prints more than 1 MiB, and is stopped.
 * - `NoToken`: the command prints nothing, or `read` finds no token in the output or throws.
 *
 * No error shows the output. The command is stopped when no caller waits for it any more.
 *
 * @category constructors
 * @stability rests on effect/process
 * @since 0.1.0
 */
export const command = (
  command: ChildProcess.Command,
  options: {
    readonly identity: Identity
    readonly read?: ((output: string) => Grant | undefined) | undefined
  }
): Effect.Effect<TokenSource, never, ChildProcessSpawner.ChildProcessSpawner> =>
  Effect.map(ChildProcessSpawner.ChildProcessSpawner, (spawner) => {
    const read = options.read ?? readAll
    const run = Effect.gen(function*() {
      const handle = yield* Effect.mapError(
        spawner.spawn(command),
        () => notConfigured("the command cannot be started")
      )
      let printed = 0
      const stdout = Stream.tap(
        handle.stdout,
        (chunk) => (printed += chunk.length) > mostPrinted ? Effect.fail(printsTooMuch) : Effect.void
      )
      const output = Stream.mkString(Stream.decodeText(Stream.drainFork(stdout, handle.stderr)))
      const [text, code] = yield* Effect.all([output, handle.exitCode], { concurrency: 2 }).pipe(
        Effect.mapError((error) =>
          error._tag === "Unavailable"
            ? new AuthError.AuthError({ reason: error })
            : commandFailed("the command was cut off")
        )
      )
      if (code !== 0) return yield* Effect.fail(commandFailed(`the command ended with status ${code}`))
      // What `read` throws may repeat the output.
      const grant = Result.getOrUndefined(Result.try(() => read(text)))
      if (grant === undefined) {
        return yield* Effect.fail(
          new AuthError.AuthError({ reason: new AuthError.NoToken({ expected: "the command's output" }) })
        )
      }
      return grant
    })
    return fromEffect(Effect.scoped(run), options)
  })

/**
 * Tries sources in order, for keys in rotation: it asks the next one where a login rejects the credentials or is not configured.
 * An outage is not passed on to the next. The source that worked is asked first the next time, and one whose credentials were
 * rejected is not asked again until they change, or for a while (`AuthError.Rejected`).
 *
 * @category combinators
 * @since 0.1.0
 */
export const chain = (sources: Arr.NonEmptyReadonlyArray<TokenSource>): TokenSource => {
  const all = Arr.map(sources, stopAfterRejection)
  let preferred = all[0]
  return {
    identity: Effect.map(
      Effect.forEach(
        all,
        (source) =>
          Effect.catchReason(source.identity, "AuthError", "NotConfigured", () => Effect.succeed<Identity>([]))
      ),
      (identities) => identities.flatMap((identity) => [...identity, separator])
    ),
    acquire: (rejected) => {
      const [first, ...rest] = [preferred, ...all.filter((source) => source !== preferred)]
      const ask = (source: TokenSource) =>
        Effect.tap(source.acquire(rejected), () =>
          Effect.sync(() => {
            preferred = source
          }))
      return rest.reduce(
        (previous, source) =>
          Effect.catch(previous, (error) => passedOn.has(error.reason._tag) ? ask(source) : Effect.fail(error)),
        ask(first ?? preferred)
      )
    },
    forgetFailures: Effect.forEach(all, (source) => source.forgetFailures ?? Effect.void, { discard: true })
  }
}

const fromCredential = (credential: Effect.Effect<Redacted.Redacted, AuthError.AuthError>): TokenSource => ({
  identity: Effect.tap(Effect.map(credential, (value): Identity => [value]), register),
  acquire: (rejected) =>
    Effect.flatMap(credential, (value) =>
      rejected !== undefined && Redacted.value(rejected) === Redacted.value(value)
        ? Effect.fail(new AuthError.AuthError({ reason: new AuthError.StillUnauthorized({ detail: noOther }) }))
        : Effect.succeed({ value, expiresAt: Number.POSITIVE_INFINITY }))
})

const register = (identity: Identity): Effect.Effect<void> =>
  Effect.map(Scrubber.Current, (scrubber) => {
    for (const part of identity) {
      if (Redacted.isRedacted(part)) scrubber.register(part)
    }
  })

const readAll = (output: string): Grant | undefined => {
  const text = output.trim()
  return text === "" ? undefined : { value: Redacted.make(text) }
}

const notConfigured = (detail: string): AuthError.AuthError =>
  new AuthError.AuthError({ reason: new AuthError.NotConfigured({ detail }) })

const commandFailed = (detail: string): AuthError.AuthError =>
  new AuthError.AuthError({ reason: new AuthError.Unavailable({ detail, recovery: Recovery.retry }) })

const mostPrinted = 1_048_576

const printsTooMuch = /* @__PURE__ */ new AuthError.Unavailable({
  detail: `the command printed more than ${mostPrinted} bytes`,
  recovery: Recovery.giveUp
})

const noOther = "the configured token was rejected, and there is no other"

const passedOn: ReadonlySet<AuthError.Reason["_tag"]> = /* @__PURE__ */ new Set([
  "Rejected",
  "NotConfigured",
  "StillUnauthorized"
])

const separator = "\u0000"

const logIn: Operation.Operation = { name: "log in", endpoint: "{login}", idempotent: true }

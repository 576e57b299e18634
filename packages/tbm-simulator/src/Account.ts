/**
 * The accounts that can log in: a key pair, its domain, and its permissions there.
 *
 * **Example** (An account that cannot upload)
 *
 * ```ts import.meta.vitest
 * import { Account } from "@effect-resilience/tbm-simulator"
 * import { Schema } from "effect"
 *
 * const reader = Schema.decodeUnknownSync(Account.Account)({
 *   publicKey: "reader",
 *   secretKey: "secret",
 *   customer: "acme",
 *   domain: "acme.com",
 *   permissions: ["AccessDev"]
 * })
 * Object.keys(reader.environments) // => ["main"]
 * Account.sample.permissions // => ["AccessDev", "UploadData"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * A permission of a key. An environment look-up needs `AccessDev`; an upload needs both.
 *
 * @category models
 * @since 0.1.0
 */
export const Permission = Schema.Literals(["AccessDev", "UploadData"])

/**
 * A value of the schema of the same name: `AccessDev` or `UploadData`.
 *
 * @category models
 * @since 0.1.0
 */
export type Permission = typeof Permission.Type

/**
 * One key pair and what it gives access to.
 *
 * **Details**
 *
 * - `publicKey`, `secretKey`: the `keyAccess` and `keySecret` of a login.
 * - `customer`: the first label of the real service's host name, for people only: no request carries it.
 * - `domain`: the domain in the paths, such as `acme.com`.
 * - `environments`: environment names and their ids; an id is a UUID or a number. Default: `main`, a fixed UUID.
 * - `permissions`: default all.
 *
 * Several accounts can share a domain with different permissions.
 *
 * @category models
 * @since 0.1.0
 */
export const Account = Schema.Struct({
  publicKey: Schema.NonEmptyString,
  secretKey: Schema.NonEmptyString,
  customer: Schema.NonEmptyString,
  domain: Schema.NonEmptyString,
  environments: Schema.Record(Schema.String, Schema.Union([Schema.NonEmptyString, Schema.Int])).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(defaultEnvironments()))
  ),
  permissions: Schema.Array(Permission).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(allPermissions()))
  )
})

/**
 * A decoded account, with its defaults.
 *
 * @category models
 * @since 0.1.0
 */
export interface Account {
  /** The `keyAccess` of a login. */
  readonly publicKey: string
  /** The `keySecret` of a login. */
  readonly secretKey: string
  /** The first label of the real service's host name, for people only. */
  readonly customer: string
  /** The domain in the paths, such as `acme.com`. */
  readonly domain: string
  /** The ids of environments, by their names. */
  readonly environments: { readonly [name: string]: string | number }
  /** What the key may do. */
  readonly permissions: ReadonlyArray<Permission>
}

/**
 * The account of a simulator without `accounts`: `sim-public-key`, `sim-secret-key`, customer `acme`, domain `acme.com`,
 * environment `main`, all permissions.
 *
 * @category constants
 * @since 0.1.0
 */
export const sample: Account = {
  publicKey: "sim-public-key",
  secretKey: "sim-secret-key",
  customer: "acme",
  domain: "acme.com",
  environments: defaultEnvironments(),
  permissions: allPermissions()
}

function defaultEnvironments(): Record<string, string | number> {
  return { main: "5f0c1d2e-7a3b-4c4d-8e9f-0a1b2c3d4e5f" }
}

function allPermissions(): ReadonlyArray<Permission> {
  return ["AccessDev", "UploadData"]
}

/**
 * The accounts that the simulator lets in: one key pair, the domain it belongs to, and what it may do there.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * A permission of a key. Looking an environment up needs `AccessDev`; an upload needs both.
 *
 * @category models
 * @since 0.1.0
 */
export const Permission = Schema.Literals(["AccessDev", "UploadData"])

/**
 * @category models
 * @since 0.1.0
 */
export type Permission = typeof Permission.Type

/**
 * One key pair and what it opens.
 *
 * **Details**
 *
 * - `publicKey`, `secretKey`: what a login sends as `keyAccess` and `keySecret`.
 * - `customer`: the first label of the real service's host name; kept for people, no request carries it.
 * - `domain`: the domain in the paths, `acme.com`.
 * - `environments`: environment names and their ids; an id is a UUID or a number. Default: `main`, a fixed UUID.
 * - `permissions`: default all.
 *
 * Several accounts may share a domain, each with other permissions.
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
 * @category models
 * @since 0.1.0
 */
export interface Account {
  readonly publicKey: string
  readonly secretKey: string
  readonly customer: string
  readonly domain: string
  readonly environments: { readonly [name: string]: string | number }
  readonly permissions: ReadonlyArray<Permission>
}

/**
 * The account of a simulator that was told of no other: `sim-public-key`, `sim-secret-key`, customer `acme`, domain
 * `acme.com`, environment `main`, every permission.
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

/**
 * Which TBM Studio to talk to, and with which keys.
 *
 * **Details**
 *
 * Effect's `Config` reads the settings: from the environment, unless a program provides another `ConfigProvider`.
 *
 * | name | meaning | default |
 * | --- | --- | --- |
 * | `TBM_CUSTOMER` | the first part of the address, `acme` for acme.apptio.com | |
 * | `TBM_DOMAIN` | the domain to log in to, `acme.com` | |
 * | `TBM_PUBLIC_KEY`, `TBM_SECRET_KEY` | the API key pair | |
 * | `TBM_REGION` | us, eu, au, me, usgov or aug | us |
 * | `TBM_ENVIRONMENT` | the environment's name | main |
 * | `TBM_FRONTDOOR_URL` | another login host, for a simulator or proxy | the region's |
 * | `TBM_API_URL` | another API host, for a simulator or proxy | `https://{customer}.apptio.com` |
 * | `TBM_API_VERSION` | the version of the paths of tables, v1 or v2 | v1 |
 * | `TBM_DATALINK_URL` | another host of the uploader service | the region's, in us, eu, au and me |
 *
 * Keys go only to the login host, and tokens only to these three hosts. So an address must be plain: https (http only to this
 * machine), without user, path or query.
 *
 * **Example** (Settings for tests)
 *
 * ```ts import.meta.vitest
 * import { Settings } from "@effect-resilience/tbm-studio"
 * import { ConfigProvider, Effect } from "effect"
 *
 * const environment = ConfigProvider.fromUnknown({
 *   TBM_CUSTOMER: "acme",
 *   TBM_DOMAIN: "acme.com",
 *   TBM_PUBLIC_KEY: "public",
 *   TBM_SECRET_KEY: "secret",
 *   TBM_REGION: "eu"
 * })
 * const settings = Effect.provideService(Settings.load, ConfigProvider.ConfigProvider, environment)
 * const { frontdoor } = await Effect.runPromise(settings)
 * frontdoor // => "https://frontdoor-eu.apptio.com"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Origin from "@effect-resilience/auth/Origin"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Region from "./Region.ts"
import * as TableAddress from "./TableAddress.ts"

/**
 * The settings of one TBM Studio.
 *
 * - `frontdoor`, `api`, `datalink`: origins, such as `https://acme.apptio.com`. `datalink` is that of the uploader service,
 *   and absent if the region has none.
 * - `apiVersion`: default `v1`.
 * - `customer`: the first label of the host name, such as `acme`.
 * - `domain`: the domain in the paths, such as `acme.com`.
 * - `region`: where the studio is hosted.
 * - `environment`: the name of the environment, such as `main`.
 * - `publicKey`: the public half of the API key.
 * - `secretKey`: the secret half of the API key.
 *
 * @category services
 * @since 0.1.0
 */
export class Settings extends Context.Service<Settings, {
  readonly customer: string
  readonly domain: string
  readonly region: Region.Region
  readonly environment: string
  readonly publicKey: Redacted.Redacted
  readonly secretKey: Redacted.Redacted
  readonly frontdoor: string
  readonly api: string
  readonly apiVersion?: TableAddress.Version | undefined
  readonly datalink?: string | undefined
}>()("@effect-resilience/tbm-studio/Settings") {
  /** Settings from the environment. */
  static readonly layer: Layer.Layer<Settings, InvalidSettings> = Layer.effect(Settings, Effect.suspend(() => load))
}

/**
 * Settings are missing or malformed. The message has a line for each, which names it.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSettings extends ErrorMessage.TaggedError("InvalidSettings")<{
  /** One line for each, which names the setting; without values of secrets. */
  readonly problems: ReadonlyArray<string>
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  /** The message, line by line. */
  get lines(): ReadonlyArray<string> {
    return this.problems
  }
  override get message(): string {
    return this.lines.join("\n")
  }
}

/**
 * Reads and checks all settings. From then on the scrubber removes the keys from all output.
 *
 * @category constructors
 * @since 0.1.0
 */
export const load: Effect.Effect<Settings["Service"], InvalidSettings> = Effect.gen(function*() {
  const problems: Array<string> = []
  const setting = Effect.fnUntraced(function*(name: string, check: (text: string) => string | undefined) {
    const found = yield* Effect.orElseSucceed(Config.option(Config.String(name)), () => Option.none())
    const text = Option.getOrElse(found, () => "").trim()
    if (text === "") return undefined
    const problem = check(text)
    if (problem === undefined) return text
    problems.push(`${name} ${problem}`)
    return undefined
  })
  const required = Effect.fnUntraced(
    function*(name: string, check: (text: string) => string | undefined, remedy: string) {
      const before = problems.length
      const value = yield* setting(name, check)
      if (value === undefined && problems.length === before) problems.push(`${name} is not set. ${remedy}`)
      return value ?? ""
    }
  )

  const customer = yield* required(
    "TBM_CUSTOMER",
    (text) => hostLabel.test(text) ? undefined : notA(text, "the first part of a host name, such as acme"),
    "Set it to the first part of your TBM Studio address: acme for acme.apptio.com."
  )
  const domain = yield* required(
    "TBM_DOMAIN",
    (text) => domainName.test(text) ? undefined : notA(text, "a domain, such as acme.com"),
    "Set it to the domain you log in to, such as acme.com."
  )
  const publicKey = yield* required("TBM_PUBLIC_KEY", key, "Set it to the public half of your API key pair.")
  const secretKey = yield* required("TBM_SECRET_KEY", key, "Set it to the secret half of your API key pair.")
  const region = (yield* setting("TBM_REGION", (text) =>
    Region.isRegion(text) ? undefined : notA(text, `a region: use ${Region.all.join(", ")}`))) ?? "us"
  const environment = (yield* setting("TBM_ENVIRONMENT", (text) =>
    environmentName.test(text) ? undefined : notA(text, "the name of an environment, such as main"))) ?? "main"
  const frontdoor = yield* setting("TBM_FRONTDOOR_URL", origin)
  const api = yield* setting("TBM_API_URL", origin)
  const version = yield* setting("TBM_API_VERSION", (text) =>
    versionOf(text) === undefined
      ? notA(text, `a version of the API: use ${TableAddress.versions.join(" or ")}`)
      : undefined)
  const datalink = yield* setting("TBM_DATALINK_URL", origin)

  const keys = { publicKey: Redacted.make(publicKey), secretKey: Redacted.make(secretKey) }
  const scrubber = yield* Scrubber.Current
  Object.values(keys).forEach((secret) =>
    scrubber.register(secret)
  )
  if (problems.length > 0 || !Region.isRegion(region)) {
    return yield* new InvalidSettings({ problems })
  }
  const datalinkUrl = datalink ?? Region.datalinkUrl(region)
  return {
    customer,
    domain,
    region,
    environment,
    ...keys,
    frontdoor: originOf(frontdoor ?? Region.frontdoorUrl(region)),
    api: originOf(api ?? `https://${customer}.apptio.com`),
    apiVersion: versionOf(version),
    datalink: datalinkUrl === undefined ? undefined : originOf(datalinkUrl)
  }
})

const versionOf = (text: string | undefined) => TableAddress.versions.find((version) => version === text)

const hostLabel = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i
const domainName = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i
const environmentName = /^[\w][\w .-]{0,99}$/

const notA = (text: string, what: string) => `is ${JSON.stringify(text)}, which is not ${what}.`

const originOf = (url: string) => Origin.make(url).href

const origin = (text: string) => {
  const parsed = Origin.parse(text)
  if (Result.isFailure(parsed)) return `is not usable: ${parsed.failure.problem}.`
  return new URL(text).href === `${parsed.success.href}/` ? undefined : "has a path or query: leave only the origin."
}

// The message must not repeat the key.
const key = (text: string) =>
  /^[\x21-\x7e]+$/.test(text) ? undefined : "contains characters that are not allowed in a key."

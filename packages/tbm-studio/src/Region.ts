/**
 * The regions in which TBM Studio runs, and their login hosts.
 *
 * Source: the vendor's public documentation of frontdoor.
 *
 * @since 0.1.0
 */

/**
 * @category models
 * @since 0.1.0
 */
export type Region = typeof all[number]

/**
 * @category constants
 * @since 0.1.0
 */
export const all = ["us", "eu", "au", "me", "usgov", "aug"] as const

/**
 * Where to log in.
 *
 * **Example** (The European frontdoor)
 *
 * ```ts import.meta.vitest
 * import { Region } from "@effect-resilience/tbm-studio"
 *
 * Region.frontdoorUrl("us") // => "https://frontdoor.apptio.com"
 * Region.frontdoorUrl("eu") // => "https://frontdoor-eu.apptio.com"
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const frontdoorUrl = (region: Region): string =>
  region === "us" ? "https://frontdoor.apptio.com" : `https://frontdoor-${region}.apptio.com`

/**
 * @category guards
 * @since 0.1.0
 */
export const isRegion = (text: string): text is Region => all.some((region) => region === text)

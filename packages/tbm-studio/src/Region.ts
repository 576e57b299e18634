/**
 * The regions of TBM Studio, and their hosts.
 *
 * Source: the vendor's public documentation of frontdoor and of the uploader service.
 *
 * @stability stable
 * @since 0.1.0
 */

/**
 * One of the regions in `all`.
 *
 * @category models
 * @since 0.1.0
 */
export type Region = typeof all[number]

/**
 * The regions, by the short names that their hosts have.
 *
 * @category constants
 * @since 0.1.0
 */
export const all = ["us", "eu", "au", "me", "usgov", "aug"] as const

/**
 * The address of the region's login host.
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
 * The address of the region's uploader service, or `undefined` if the region has none.
 *
 * **Example** (A region with the service, and one without)
 *
 * ```ts import.meta.vitest
 * import { Region } from "@effect-resilience/tbm-studio"
 *
 * Region.datalinkUrl("eu") // => "https://datalink-eu.apptio.com"
 * Region.datalinkUrl("usgov") // => undefined
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const datalinkUrl = (region: Region): string | undefined => {
  switch (region) {
    case "us":
      return "https://datalink.apptio.com"
    case "eu":
    case "au":
    case "me":
      return `https://datalink-${region}.apptio.com`
    default:
      return undefined
  }
}

/**
 * Whether a text is one of the regions in `all`. Case matters.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRegion = (text: string): text is Region => all.some((region) => region === text)

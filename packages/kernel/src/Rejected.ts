/**
 * Which successful responses an authentication takes for a rejected token, such as a login page.
 *
 * **Why**
 *
 * A caller gets a response with its headers, while its attempt lasts until the end of the body. The authentication around the attempt sends
 * such a request again, so the caller must not get the first response.
 *
 * **Example** (A login page)
 *
 * ```ts import.meta.vitest
 * import { Rejected } from "@effect-resilience/kernel"
 * import { Context } from "effect"
 * import { HttpClientRequest, HttpClientResponse } from "effect/http"
 *
 * const context = Context.make(Rejected.Current, ({ headers }) => headers["content-type"] === "text/html")
 *
 * const page = new Response("<title>Log in</title>", { headers: { "content-type": "text/html" } })
 * const response = HttpClientResponse.fromWeb(HttpClientRequest.get("https://api.example.com"), page)
 * Context.get(context, Rejected.Current)?.(response) // => true
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"

/**
 * Those of the running attempt; by default none.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<((response: HttpClientResponse.HttpClientResponse) => boolean) | undefined> =
  /* @__PURE__ */ Context.Reference<((response: HttpClientResponse.HttpClientResponse) => boolean) | undefined>(
    "@effect-resilience/kernel/Rejected/Current",
    { defaultValue: () => undefined }
  )

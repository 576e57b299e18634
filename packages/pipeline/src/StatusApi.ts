/**
 * The status of pipelines and policies over HTTP, for people and for monitors. Read only.
 *
 * **Details**
 *
 * `GET /resilience` responds with a `Status.Report` as JSON, `GET /resilience.txt` with the same as text. `layer` adds both to an
 * `HttpRouter`. `Group` and `handlers` put them into an `HttpApi` of your own, behind its authentication.
 *
 * Keys and addresses are left out, see `Status`. What is left tells how much a service is used, so serve it where operators are,
 * on an internal port.
 *
 * **Gotchas**
 *
 * - Not in the package's index, since it loads `Schema` and `effect/http-api`: import it from
 *   `@effect-resilience/pipeline/StatusApi`.
 * - It is no liveness probe. A circuit is open because something else is down, and a restart does not mend that.
 *
 * **Example** (A page of its own)
 *
 * ```ts import.meta.vitest
 * import { PipelineRegistry } from "@effect-resilience/pipeline"
 * import * as StatusApi from "@effect-resilience/pipeline/StatusApi"
 * import { Effect, Layer } from "effect"
 * import { HttpRouter, HttpServer } from "effect/http"
 *
 * const registry = PipelineRegistry.make([{ name: "ledger", retry: { times: 3 } }])
 * const routes = Layer.unwrap(Effect.map(registry, (registry) => StatusApi.layer({ registry })))
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(Layer.provide(routes, HttpServer.layerServices), {
 *   disableLogger: true
 * })
 * const response = await handler(new Request("http://localhost/resilience.txt"))
 * await response.text() // => "ledger\n  retry           times 3  [times 3]\n  the call"
 * await dispose()
 * ```
 *
 * @stability rests on effect/FileSystem, effect/Path, effect/http, effect/http-api
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import type * as Etag from "effect/http/Etag"
import type * as HttpPlatform from "effect/http/HttpPlatform"
import type * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Slot from "./Slot.ts"
import * as Status from "./Status.ts"

const numbers = /* @__PURE__ */ Schema.Record(
  Schema.String,
  Schema.Union([Schema.Number, Schema.String, Schema.Boolean])
)

/**
 * `Status.Report` as JSON.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Report: Schema.Codec<Status.Report> = /* @__PURE__ */ Schema.Struct({
  pipelines: Schema.Array(Schema.Struct({
    name: Schema.String,
    parts: Schema.Array(Schema.Struct({
      slot: Schema.Literals(Slot.order),
      part: Schema.String,
      options: Schema.String,
      now: numbers
    }))
  })),
  policies: Schema.Array(Schema.Struct({ name: Schema.String, kind: Schema.String, now: numbers })),
  keyed: Schema.Record(Schema.String, Schema.Number)
})

/**
 * The endpoints, for an `HttpApi`.
 *
 * @category apis
 * @since 0.1.0
 */
export const Group = /* @__PURE__ */ HttpApiGroup.make("resilience").add(
  HttpApiEndpoint.get("status", "/resilience", { success: Report }),
  HttpApiEndpoint.get("text", "/resilience.txt", { success: Schema.String.pipe(HttpApiSchema.asText()) })
)

/**
 * The handlers of `Group`, for `HttpApiBuilder.group(api, "resilience", StatusApi.handlers(sources))`.
 *
 * @category handlers
 * @since 0.1.0
 */
export const handlers = (sources: Status.Sources) => {
  const report = Status.report(sources)
  return (group: HttpApiBuilder.Handlers.FromGroup<typeof Group>) =>
    group.handleAll({
      status: () => report,
      text: () => Effect.map(report, Status.format)
    })
}

const Api = /* @__PURE__ */ HttpApi.make("resilience").add(Group)

/**
 * Adds both routes to the surrounding `HttpRouter`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  sources: Status.Sources
): Layer.Layer<
  never,
  never,
  Etag.Generator | FileSystem.FileSystem | HttpPlatform.HttpPlatform | HttpRouter.HttpRouter | Path.Path
> => Layer.provide(HttpApiBuilder.layer(Api), HttpApiBuilder.group(Api, "resilience", handlers(sources)))

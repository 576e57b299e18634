// What server and client share.
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"

export class NoSuchReport extends Schema.TaggedError<NoSuchReport>()("NoSuchReport", { id: Schema.String }, {
  httpApiStatus: 404
}) {}

const report = { params: { id: Schema.String }, success: Schema.String, error: NoSuchReport }

export const Api = HttpApi.make("reports").add(
  HttpApiGroup.make("reports").add(
    HttpApiEndpoint.get("read", "/reports/:id", report),
    HttpApiEndpoint.post("compute", "/reports/:id", report)
  )
)

import { Recording } from "@effect-resilience/http"
import * as fc from "fast-check"
import { fuzz, jsonText, like, text } from "../../repo-checks/src/Fuzz.ts"

const line = jsonText(like({
  time: "2026-01-01T00:00:00Z",
  durationMs: 2,
  method: "GET",
  url: "https://api.example.com/a",
  headers: { accept: "text/html" },
  answer: { status: 200, headers: { "content-type": "application/json" }, body: { json: { a: 1 } } }
}))

fuzz(
  "a recording is a client, or a SchemaError",
  fc.array(fc.oneof(line, text("\n", " ", "{}")), { maxLength: 4 }),
  (lines) => Recording.replay(lines)
)

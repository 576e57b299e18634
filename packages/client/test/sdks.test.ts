import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ResilientClient } from "@effect-resilience/client"
import { assert, describe, it } from "@effect/vitest"
import { request as octokit } from "@octokit/request"
import { Effect } from "effect"
import type { ServerResponse } from "node:http"
import OpenAI from "openai"

/** A server that is busy for the first request of each path. */
const withServer = <A>(
  respond: (path: string, response: ServerResponse) => void,
  use: (fetch: ResilientClient.Fetch, url: string, seen: Array<string>) => Promise<A>
) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const { url } = yield* LocalServer.http(({ method, url = "" }, response) => {
      const first = !seen.includes(`${method} ${url}`)
      seen.push(`${method} ${url}`)
      if (first) response.writeHead(503).end()
      else respond(url, response)
    })
    const fetch = ResilientClient.fetch({
      name: "sdk",
      baseUrl: url,
      pipeline: { retry: { times: 2, backoff: { base: 0 } } },
      operations: { chat: { endpoint: "POST /v1/chat/completions", idempotent: true } }
    })
    return yield* Effect.promise(() => use(fetch, url, seen).finally(fetch.dispose))
  })

const json = (response: ServerResponse, status: number, body: unknown) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))

describe("an SDK over ResilientClient.fetch", () => {
  it.live("openai reads lists and streams, and the client alone repeats", () =>
    withServer((path, response) => {
      if (path === "/v1/models") {
        json(response, 200, { object: "list", data: [{ id: "m-1" }] })
        return
      }
      const chunk = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`
      response.writeHead(200, { "content-type": "text/event-stream" }).write(chunk("hel"))
      setImmediate(() => response.end(`${chunk("lo")}data: [DONE]\n\n`))
    }, async (fetch, url, seen) => {
      const openai = new OpenAI({ apiKey: "k", baseURL: `${url}/v1`, fetch, maxRetries: 0 })
      assert.deepStrictEqual((await openai.models.list()).data.map(({ id }) => id), ["m-1"])
      const stream = await openai.chat.completions.create({ model: "m-1", stream: true, messages: [] })
      let text = ""
      for await (const { choices } of stream) text += choices[0]?.delta.content ?? ""
      assert.strictEqual(text, "hello")
      assert.deepStrictEqual(seen, [
        "GET /v1/models",
        "GET /v1/models",
        "POST /v1/chat/completions",
        "POST /v1/chat/completions"
      ])
    }))

  it.live("octokit gets its own errors from the last response", () =>
    withServer((_, response) => void json(response, 404, { message: "Not Found" }), async (fetch, baseUrl, seen) => {
      const error: unknown = await octokit("GET /repos/a/b", { baseUrl, request: { fetch } }).catch((error) => error)
      assert.include(error, { name: "HttpError", status: 404 })
      assert.strictEqual(seen.length, 2)
    }))
})

import { Redirects } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Stream } from "effect"
import { FetchHttpClient, Headers, HttpBody, HttpClient, HttpClientResponse } from "effect/http"

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Responds to each path with a redirect, or with 200. */
const serving = (routes: Readonly<Record<string, readonly [status: number, location: string]>>) => {
  const seen: Array<Seen> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const { body } = request
      const text = body._tag === "Stream"
        ? yield* Effect.orDie(Stream.mkString(Stream.decodeText(body.stream)))
        : body._tag === "Uint8Array"
        ? new TextDecoder().decode(body.body)
        : ""
      seen.push({ method: request.method, url: url.href, headers: { ...request.headers }, body: text })
      const route = routes[url.pathname]
      const response = route === undefined
        ? new Response("here")
        : new Response(null, { status: route[0], headers: { location: route[1] } })
      return HttpClientResponse.fromWeb(request, response)
    })
  )
  return { client, seen }
}

const secret = { "acme-token": "t", authorization: "Bearer t", cookie: "c=1", accept: "text/csv" }

describe("Redirects.follow", () => {
  it.effect("keeps method, body and headers on 307 and 308 within the origin", () =>
    Effect.gen(function*() {
      for (const status of [307, 308]) {
        const { client, seen } = serving({ "/a": [status, "/b?x=1#frag"] })
        const body = HttpBody.stream(Stream.make(new TextEncoder().encode("rows")), "text/csv")
        const response = yield* Redirects.follow(client).post("https://api.example/a", { body, headers: secret })
        assert.strictEqual(response.status, 200)
        assert.deepInclude(seen[1], { method: "POST", url: "https://api.example/b?x=1", body: "rows" })
        assert.deepInclude(seen[1]?.headers, secret)
      }
    }))

  it.effect("repeats no body that can be read once, and never sends less of one", () =>
    Effect.gen(function*() {
      const once = new Blob(["rows"])
      for (const status of [307, 308]) {
        const raw = serving({ "/a": [status, "/b"] })
        const put = Redirects.follow(raw.client).put("https://api.example/a", { body: HttpBody.raw(once.stream()) })
        assert.strictEqual((yield* put).status, status)
        assert.lengthOf(raw.seen, 1)

        const { client, seen } = serving({ "/a": [status, "/b"] })
        const source = once.stream()
        const rows = Stream.fromReadableStream({ evaluate: () => source, onError: (error) => error })
        const body = HttpBody.stream(rows, "text/csv")
        const exit = yield* Effect.exit(Redirects.follow(client).put("https://api.example/a", { body }))
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(seen.map(({ body }) => body), ["rows"])
      }
    }))

  it.effect("follows an address that is written in UTF-8, or in anything else", () =>
    Effect.gen(function*() {
      const asBytes = (text: string) => String.fromCharCode(...new TextEncoder().encode(text))
      for (
        const [location, expected] of [
          [asBytes("/café?q=ü"), "/caf%C3%A9?q=%C3%BC"],
          [asBytes("/a%20%2f+b?c=%zz"), "/a%20%2f+b?c=%zz"],
          ["/caf\u00e9", "/caf%C3%A9"],
          ["/日", "/%E6%97%A5"]
        ] as const
      ) {
        const transport = HttpClient.make((request, url) =>
          Effect.sync(() => {
            const response = HttpClientResponse.fromWeb(
              request,
              new Response("", { status: url.pathname === "/a" ? 302 : 200 })
            )
            // A transport may have read it as UTF-8 itself, which the web's `Headers` do not take.
            return Object.create(response, { headers: { value: Headers.fromInput({ location }) } })
          })
        )
        const response = yield* Redirects.follow(transport).get("https://api.example/a")
        assert.strictEqual(response.request.url, `https://api.example${expected}`)
      }
    }))

  it.effect("turns a POST into a GET without body on 301, 302 and 303", () =>
    Effect.gen(function*() {
      for (const status of [301, 302, 303]) {
        const { client, seen } = serving({ "/a": [status, "/b"] })
        yield* Redirects.follow(client).post("https://api.example/a", { body: HttpBody.text("rows") })
        assert.deepInclude(seen[1], { method: "GET", body: "" })
        assert.notProperty(seen[1]?.headers, "content-type")
        assert.notProperty(seen[1]?.headers, "content-length")
      }
    }))

  it.effect("keeps PUT on 302, and HEAD on 303", () =>
    Effect.gen(function*() {
      const put = serving({ "/a": [302, "/b"] })
      yield* Redirects.follow(put.client).put("https://api.example/a", { body: HttpBody.text("rows") })
      assert.deepInclude(put.seen[1], { method: "PUT", body: "rows" })
      const head = serving({ "/a": [303, "/b"] })
      yield* Redirects.follow(head.client).head("https://api.example/a")
      assert.deepInclude(head.seen[1], { method: "HEAD" })
    }))

  it.effect("sends nothing to another origin", () =>
    Effect.gen(function*() {
      const elsewhere = [
        "https://evil.example/",
        "//evil.example/",
        "http://api.example/",
        "https://api.example:8443/",
        "https://api.example.evil.example/",
        "https://api.example@evil.example/",
        "https://user:pw@api.example/",
        "javascript:alert(1)",
        "https://[bad"
      ]
      for (const location of elsewhere) {
        const { client, seen } = serving({ "/a": [307, location] })
        const response = yield* Redirects.follow(client).get("https://api.example/a", { headers: secret })
        assert.deepStrictEqual([location, response.status, seen.length], [location, 307, 1])
      }
    }))

  it.effect("takes no credential to another origin that is allowed", () =>
    Effect.gen(function*() {
      const { client, seen } = serving({ "/a": [307, "https://files.example/f"] })
      const follow = Redirects.follow({ origins: ["https://files.example"] })
      yield* follow(client).get("https://api.example/a", { headers: secret }).pipe(
        Effect.provideService(HttpClient.TracerPropagationEnabled, false)
      )
      assert.deepStrictEqual(seen[1]?.headers, { accept: "text/csv" })
    }))

  it.effect("stops at the limit", () =>
    Effect.gen(function*() {
      const { client, seen } = serving({ "/a": [302, "/a"] })
      const response = yield* Redirects.follow(client, { limit: 3 }).get("https://api.example/a")
      assert.strictEqual(response.status, 302)
      assert.lengthOf(seen, 4)
    }))

  it.effect("returns a redirect without a location, and 304", () =>
    Effect.gen(function*() {
      const { client, seen } = serving({ "/a": [304, "/b"] })
      assert.strictEqual((yield* Redirects.follow(client).get("https://api.example/a")).status, 304)
      assert.lengthOf(seen, 1)
    }))

  it("rejects an origin that is not one", () => {
    for (const origin of ["files.example", "https://files.example/", "https://files.example/path", "*"]) {
      assert.throws(() => Redirects.follow({ origins: [origin] })(serving({}).client), RangeError)
    }
  })
})

describe("Redirects.manual", () => {
  it.effect("stops fetch from following by itself", () =>
    Effect.gen(function*() {
      const modes: Array<string | undefined> = []
      const fetch = ((_: unknown, init?: RequestInit) => {
        modes.push(init?.redirect)
        return Promise.resolve(new Response(null, { status: 302, headers: { location: "https://evil.example/" } }))
      }) satisfies typeof globalThis.fetch
      const response = yield* HttpClient.HttpClient.pipe(
        Effect.flatMap((client) => Redirects.manual(client).get("https://api.example/", { headers: secret })),
        Effect.provide(Layer.provide(FetchHttpClient.layer, Layer.succeed(FetchHttpClient.Fetch, fetch)))
      )
      assert.strictEqual(response.status, 302)
      assert.deepStrictEqual(modes, ["manual"])
    }))
})

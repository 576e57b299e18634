import { ManualRedirects } from "@effect-resilience/kernel"
import { assert, it } from "@effect/vitest"
import { Context, Effect } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"

it.effect("has fetch return redirects, keeps the other settings, and leaves a context alone that has it", () =>
  Effect.gen(function*() {
    const seen: Array<RequestInit | undefined> = []
    const client = ManualRedirects.manualRedirects(HttpClient.make((request) =>
      Effect.withFiber((fiber) => {
        seen.push(Context.getOrUndefined(fiber.context, FetchHttpClient.RequestInit))
        return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 302 })))
      })
    ))
    yield* client.get("https://api.example.com")
    yield* Effect.provideService(client.get("https://api.example.com"), FetchHttpClient.RequestInit, {
      keepalive: true,
      redirect: "follow"
    })
    assert.deepStrictEqual(seen, [{ redirect: "manual" }, { keepalive: true, redirect: "manual" }])
    const manual = ManualRedirects.inContext(Context.empty())
    assert.strictEqual(ManualRedirects.inContext(manual), manual)
  }))

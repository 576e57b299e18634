import { ResilientClient } from "@effect-resilience/client"
import { SendProgress } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { HttpClient } from "effect/http"

const silent = () => HttpClient.make(() => Effect.never)

const lastLine = (transport: HttpClient.HttpClient) =>
  ResilientClient.make({ name: "ledger", baseUrl: "https://ledger.example.com" }).pipe(
    Effect.flatMap(({ describe }) => describe),
    Effect.map((text) => text.split("\n").at(-1) ?? ""),
    Effect.provideService(HttpClient.HttpClient, transport)
  )

describe("what a client says of its transport", () => {
  it.effect("is that it says how far requests came, where it is marked so", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* lastLine(SendProgress.reporting(silent())),
        "The transport says how far each request came."
      )
    }))

  it.effect("is that `connect` may limit nothing, of any other", () =>
    Effect.gen(function*() {
      assert.include(yield* lastLine(silent()), "`connect` limits nothing")
    }))
})

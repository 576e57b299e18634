// A test of the program. It needs no runner: node --conditions=@effect-resilience/source examples/language-model/completion.test.ts
import { ResilientClient } from "@effect-resilience/client"
import { Effect } from "effect"
import { FetchHttpClient } from "effect/http"
import assert from "node:assert/strict"
import { test } from "node:test"
import { complete } from "./completion.ts"
import { type Mood, start } from "./model.ts"

/** Asks a model once. `shown` is what the user has seen, `asked` how many questions the model has processed. */
const ask = (...moods: ReadonlyArray<Mood>) =>
  Effect.gen(function*() {
    const model = yield* start(...moods)
    const client = yield* ResilientClient.make({ name: "model", baseUrl: model.url })
    const shown: Array<string> = []
    const completion = yield* complete(client, "Why?", (piece) => Effect.sync(() => shown.push(piece)))
    return { completion, shown: shown.join(""), asked: model.asked.length }
  }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer), Effect.runPromise)

const whole = "Streams break. What came is yours."
const half = "Streams break. What "

await test("the whole text is shown as it comes", async () => {
  assert.deepEqual(await ask("responds"), { completion: { _tag: "Whole", text: whole }, shown: whole, asked: 1 })
})

await test("a question that the model has not looked at is asked again", async () => {
  assert.deepEqual(await ask("busy", "responds"), {
    completion: { _tag: "Whole", text: whole },
    shown: whole,
    asked: 1
  })
})

for (const mood of ["breaks", "closes"] as const) {
  await test(`a text that ${mood} is kept, and nothing is asked or shown twice`, async () => {
    const { asked, completion, shown } = await ask(mood)
    assert.equal(completion._tag, "BrokenOff")
    assert.equal(completion._tag === "BrokenOff" && completion.text, half)
    assert.equal(shown, half)
    assert.equal(asked, 1)
  })
}

await test("a question that may have been processed is not asked again", async () => {
  const { asked, completion } = await ask("vanishes")
  assert.equal(completion._tag, "Failed")
  assert.equal(completion._tag === "Failed" && completion.advice, "find out whether it was applied")
  assert.equal(asked, 1)
})

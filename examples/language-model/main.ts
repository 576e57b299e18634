// Run it: node --conditions=@effect-resilience/source examples/language-model/main.ts
import { ResilientClient } from "@effect-resilience/client"
import { Effect } from "effect"
import { FetchHttpClient } from "effect/http"
import { complete } from "./completion.ts"
import { type Mood, start } from "./model.ts"

const ask = Effect.fnUntraced(function*(moods: ReadonlyArray<Mood>) {
  const model = yield* start(...moods)
  const client = yield* ResilientClient.make({ name: "model", baseUrl: model.url }).pipe(
    Effect.provide(FetchHttpClient.layer)
  )
  console.log(`\n${moods.join(", then ")}:`)
  const completion = yield* complete(
    client,
    "What do I do about streams?",
    (piece) => Effect.sync(() => process.stdout.write(piece))
  )
  switch (completion._tag) {
    case "Whole":
      console.log(`\n  whole, and the model processed ${model.asked.length} question`)
      break
    case "BrokenOff":
      console.log(`\n  broken off: ${completion.why}`)
      console.log("  Keep it and mark it as incomplete, or ask again: that is another text, and another bill.")
      break
    case "Failed":
      console.log(`  failed: ${completion.why}\n  What to do: ${completion.advice}.`)
  }
}, Effect.scoped)

const program = Effect.gen(function*() {
  yield* ask(["responds"])
  yield* ask(["busy", "responds"])
  yield* ask(["breaks"])
  yield* ask(["closes"])
  yield* ask(["vanishes"])
})

await Effect.runPromise(program)

// Asks a language model, and says what came of it: the whole text, or the part that was delivered before the stream broke.
import { EventStream } from "@effect-resilience/client"
import { Recovery } from "@effect-resilience/errors"
import { Operation } from "@effect-resilience/http"
import { Effect, Schema, Stream } from "effect"
import { HttpBody, type HttpClient, HttpClientRequest } from "effect/http"

export type Completion =
  | { readonly _tag: "Whole"; readonly text: string }
  /** `text` is what the user has seen. It was paid for, and asking again makes another text. */
  | { readonly _tag: "BrokenOff"; readonly text: string; readonly why: string }
  /** Nothing was seen. `advice` says whether the question may have been processed all the same. */
  | { readonly _tag: "Failed"; readonly why: string; readonly advice: string }

const Piece = Schema.fromJsonString(
  Schema.Struct({ choices: Schema.Array(Schema.Struct({ delta: Schema.Struct({ content: Schema.String }) })) })
)

export const complete = <E extends Error>(
  client: HttpClient.HttpClient.With<E>,
  question: string,
  show: (piece: string) => Effect.Effect<void>
): Effect.Effect<Completion> => {
  const request = HttpClientRequest.post("/v1/chat/completions", {
    body: HttpBody.jsonUnsafe({ stream: true, messages: [{ role: "user", content: question }] })
  })
  let text = ""
  // `last` is what tells a sentence that is complete from a connection that was closed.
  return EventStream.stream(client, request, { last: ({ data }) => data === "[DONE]" }).pipe(
    Stream.filter(({ data }) => data !== "[DONE]"),
    Stream.mapEffect(({ data }) => Schema.decodeEffect(Piece)(data)),
    Stream.map(({ choices }) => choices.map(({ delta }) => delta.content).join("")),
    Stream.runForEach((piece) => {
      text += piece
      return show(piece)
    }),
    Effect.map((): Completion => ({ _tag: "Whole", text })),
    Effect.catch((error): Effect.Effect<Completion> => {
      const why = error.message
      const advice = Recovery.describe(Recovery.of(error))
      return Effect.succeed(text === "" ? { _tag: "Failed", why, advice } : { _tag: "BrokenOff", text, why })
    }),
    Operation.within({ name: "complete", endpoint: "/v1/chat/completions" })
  )
}

import * as Period from "@effect-resilience/tbm-studio/Period"
import * as Journal from "@effect-resilience/upload/Journal"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Place from "./place.ts"
import { InvalidInput } from "./runtime.ts"

/** Reads a journal: its history, and its entries in the words of the command. Both have the same order. */
export const read = Effect.gen(function*() {
  const journal = yield* Journal.Journal
  const history = yield* Stream.runCollect(journal.entries)
  const entries = yield* Effect.forEach(
    history,
    ({ action, at, bytes, md5, name, note, ordinal, place, state, ...entry }) =>
      Option.match(Place.parse(place), {
        onNone: () => Effect.fail(notOurs),
        onSome: (place) =>
          Effect.succeed({
            ...place,
            period: Period.format(place.period),
            ordinal,
            action: action === "add" ? "append" : "overwrite",
            file: name,
            state,
            attempts: entry.attempts,
            bytes: bytes ?? null,
            md5: md5 ?? null,
            verified: entry.verified,
            note: note ?? null,
            at: DateTime.formatIso(DateTime.makeUnsafe(at))
          })
      })
  )
  return { history, entries }
})

const notOurs = new InvalidInput({
  message: "The journal has entries of another program, or of another version of tbm-studio. Name one of this version."
})

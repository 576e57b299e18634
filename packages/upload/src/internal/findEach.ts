import * as Effect from "effect/Effect"
import type * as Journal from "../Journal.ts"

/** The entry of each id, in their order. */
export const findEach = (
  journal: Journal.Journal["Service"],
  ids: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Journal.Entry | undefined>, Journal.JournalError> =>
  Effect.map(journal.find(ids), (found) => ids.map((id) => found.get(id)))

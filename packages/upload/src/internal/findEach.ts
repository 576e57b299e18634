import * as Effect from "effect/Effect"
import type * as Journal from "../Journal.ts"

/** The entry of each id, in their order. */
export const findEach = (
  journal: Journal.Journal["Service"],
  ids: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Journal.Entry | undefined>, Journal.JournalError> =>
  // A new journal has nothing, and a hundred thousand ids take a while to be looked for.
  Effect.map(journal.find(ids), (found) => ids.map((id) => found.size === 0 ? undefined : found.get(id)))

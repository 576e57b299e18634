/** How to handle a call. */
import type * as Connection from "./Connection.ts"

export interface HandleOptions {
  /** False handles the call without a trace: no upload is stored, no session begins, no part is accepted. */
  readonly commit: boolean
  readonly pace: Connection.Pace
}

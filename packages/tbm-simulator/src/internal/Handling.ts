/** How a call is handled. */
import type * as Connection from "./Connection.ts"

export interface Handling {
  /** Whether the call leaves a trace: an upload is stored, a session begun, a part accepted. */
  readonly commit: boolean
  readonly pace: Connection.Pace
}

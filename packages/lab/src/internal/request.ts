/** A request in the server's queue or in service. */
export interface Request {
  /** Takes the response, and does nothing with it once the caller has gone. */
  readonly respond: (succeeded: boolean) => void
  /** Where it stands in the queue; negative where it does not. */
  position: number
  /** When it was received. */
  received: number
  /** Of the call that it is a part of. */
  readonly priority: string
}

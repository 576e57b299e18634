/** A request in the server's queue or in service. It holds no more of its caller than what ends it. */
export interface Request {
  /** Takes the response. `undefined` once the caller has gone. */
  respond: ((succeeded: boolean) => void) | undefined
  /** Where it stands in the queue; negative where it does not. */
  position: number
  /** When it was received. */
  received: number
}

import type * as Recovery from "@effect-resilience/errors/Recovery"

/** Whether a recovery speaks of the request or its caller: a server that says so is well. */
export const isRequestFault = ({ _tag }: Recovery.Recovery): boolean =>
  _tag === "Correct" || _tag === "Authorize" || _tag === "Reauthenticate"

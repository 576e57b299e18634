import { type Elsewhere, names } from "./description.ts"

/** A description looks like that of a pipeline, so its parts are looked for in the wrong place. */
export const elsewhere: Elsewhere = {
  client: {
    ...Object.fromEntries(names.map((part) => [part, `pipeline.${part}`])),
    deadline: "timeouts.total",
    timeout: "timeouts",
    attemptTimeout: "timeouts.attempt",
    connectTimeout: "timeouts.connect"
  },
  pipeline: { deadline: "timeouts.total", attemptTimeout: "timeouts.attempt", endpoints: "endpoints of the client" },
  timeouts: { deadline: "total", timeout: "total or attempt", attemptTimeout: "attempt" }
}

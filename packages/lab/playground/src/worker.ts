/** Runs the packages themselves. */
import type { Question, Reply } from "./protocol.ts"
import { respond } from "./respond.ts"

self.addEventListener("message", ({ data: { id, input, name } }: MessageEvent<Question>) => {
  const reply = (value: Reply) => self.postMessage(value, { transfer: [] })
  respond(name, input).then(
    (value) => reply({ id, value }),
    (error: unknown) => reply({ id, problem: error instanceof Error ? error.message : String(error) })
  )
})

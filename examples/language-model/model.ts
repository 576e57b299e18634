// A language model's API on this machine, which does not always finish its sentences.
import { Effect } from "effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

/** What happens to a question. */
export type Mood =
  | "responds"
  /** The connection breaks after a few words. */
  | "breaks"
  /** A proxy closes the connection after a few words, as if all were well. */
  | "closes"
  /** 429: too many questions. It has not looked at this one. */
  | "busy"
  /** The connection breaks before the first word. */
  | "vanishes"

const words = ["Streams ", "break. ", "What ", "came ", "is ", "yours."]

const event = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`

/** Starts it. `asked` has the questions that it began to process, and would send a bill for. */
export const start = (...moods: ReadonlyArray<Mood>) => {
  const asked: Array<string> = []
  let requests = 0
  const server = Http.createServer((request, response) => {
    const mood = moods[requests++] ?? "responds"
    let question = ""
    request.setEncoding("utf8").on("data", (text: string) => question += text)
    request.on("end", () => {
      if (mood === "busy") return response.writeHead(429, { "retry-after": "0" }).end()
      asked.push(question)
      if (mood === "vanishes") return request.socket.destroy()
      response.writeHead(200, { "content-type": "text/event-stream" })
      if (mood === "responds") return response.end(`${words.map(event).join("")}data: [DONE]\n\n`)
      const half = words.slice(0, 3).map(event).join("")
      if (mood === "closes") return response.end(half)
      return response.write(half, () => setImmediate(() => response.destroy()))
    })
  })
  const listening = Effect.callback<{ readonly url: string; readonly asked: ReadonlyArray<string> }>((resume) => {
    server.listen(
      0,
      "127.0.0.1",
      () => resume(Effect.succeed({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }))
    )
  })
  return Effect.acquireRelease(listening, () =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    }))
}

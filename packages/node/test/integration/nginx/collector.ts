/** An OTLP receiver: prints its port, then each export as one line of JSON. */
import * as Http from "node:http"

const server = Http.createServer((request, response) => {
  const pieces: Array<Buffer> = []
  request.on("data", (piece: Buffer) => pieces.push(piece))
  request.on("end", () => {
    const body: unknown = JSON.parse(Buffer.concat(pieces).toString())
    process.stdout.write(`${JSON.stringify({ path: request.url, body })}\n`)
    response.setHeader("content-type", "application/json")
    response.end("{}")
  })
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  process.stdout.write(`${typeof address === "object" && address !== null ? address.port : 0}\n`)
})

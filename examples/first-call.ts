// examples/first-call.ts: a server that fails twice, and a fetch that copes
import { ResilientClient } from "@effect-resilience/client"
import assert from "node:assert/strict"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

let requests = 0
const server = createServer((_, response) => {
  response.writeHead(++requests < 3 ? 503 : 200).end(`account 17, at request ${requests}`)
})
await once(server.listen(0, "127.0.0.1"), "listening")
const { port } = server.address() as AddressInfo

const ledger = ResilientClient.fetch({ name: "ledger", baseUrl: `http://127.0.0.1:${port}` })

const response = await ledger("/accounts/17")
console.log(response.status, await response.text())
assert.equal(requests, 3)
server.close()

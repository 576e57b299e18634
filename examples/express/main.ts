import { ResilientClient } from "@effect-resilience/client"
import express from "express"
import assert from "node:assert/strict"
import { once } from "node:events"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"

const listen = async (server: Server) => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

// A ledger that is busy once.
const seen: Array<string> = []
const ledger = createServer((request, response) => {
  seen.push(`${request.method} ${request.url}`)
  if (seen.length === 1) response.writeHead(503).end()
  else if (request.url === "/accounts/17") response.end(`{"balance":"12.50"}`)
  else response.writeHead(404).end()
})
const fetch = ResilientClient.fetch({ name: "ledger", baseUrl: await listen(ledger) })

// Express 5 passes what is thrown to its error handler.
// oxlint-disable-next-line oxc/no-async-endpoint-handlers
const app = express().get("/accounts/:id", async (request, response) => {
  const left = new AbortController()
  response.on("close", () => left.abort())
  const account = await fetch(`/accounts/${encodeURIComponent(request.params.id)}`, { signal: left.signal })
  response.status(account.status).type("json").send(await account.text())
})
const server = createServer(app)
const url = await listen(server)

const found = await globalThis.fetch(`${url}/accounts/17`)
assert.deepEqual([found.status, await found.json()], [200, { balance: "12.50" }])
assert.equal((await globalThis.fetch(`${url}/accounts/18`)).status, 404)
console.log(seen.join("\n"))
assert.deepEqual(seen, ["GET /accounts/17", "GET /accounts/17", "GET /accounts/18"])

await fetch.dispose()
for (const running of [server, ledger]) running.close().closeAllConnections()

/**
 * The server of the suites that measure clients, and what calls it.
 *
 * @since 0.1.0
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { spawn } from "node:child_process"
import type { Subject } from "./Suite.ts"

/**
 * How many calls run at once.
 *
 * @category constants
 * @since 0.1.0
 */
export const atOnce = 32

// In a process of its own: what it needs would count as the clients'.
const server = `
  const { createServer } = require("node:http")
  const body = JSON.stringify({ id: "7", name: "GL Data" })
  const chunk = Buffer.alloc(1024, "x")
  createServer((request, response) => {
    request.resume()
    if (request.url === "/chunks") {
      response.setHeader("content-type", "application/octet-stream")
      for (let i = 0; i < 1000; i++) response.write(chunk)
      return response.end()
    }
    response.setHeader("content-type", "application/json")
    response.end(body)
  }).listen(0, "127.0.0.1", function() { process.send(this.address().port) })
  process.on("disconnect", () => process.exit())
`

let origin: Promise<string> | undefined

/**
 * Its origin. It starts when it is first asked for. `/chunks` responds with 1,000 chunks of 1 KiB, all else with 32 bytes of JSON.
 *
 * @category servers
 * @since 0.1.0
 */
export const started = (): Promise<string> =>
  origin ??= new Promise((resolve) => {
    const child = spawn(process.execPath, ["--eval", server], { stdio: ["ignore", "ignore", "inherit", "ipc"] })
    child.once("message", (port) => {
      child.unref()
      child.channel?.unref()
      resolve(`http://127.0.0.1:${port}`)
    })
  })

/**
 * A call that a layer makes ready.
 *
 * @category services
 * @since 0.1.0
 */
export class Call extends Context.Service<Call, { readonly call: Effect.Effect<unknown, unknown> }>()("bench/Call") {}

/**
 * Makes calls in fibers, as many at once as `atOnce`.
 *
 * @category subjects
 * @since 0.1.0
 */
export const calls = (
  layer: Layer.Layer<Call, unknown, HttpClient.HttpClient | FileSystem.FileSystem>,
  client: Layer.Layer<HttpClient.HttpClient, unknown>
): Subject => {
  const runtime = ManagedRuntime.make(Layer.provideMerge(layer, Layer.mergeAll(client, NodeFileSystem.layer)))
  return (calls) =>
    runtime.runPromise(
      Effect.flatMap(
        Call,
        ({ call }) => Effect.forEach(Array.from({ length: calls }), () => call, { concurrency: atOnce, discard: true })
      )
    )
}

/**
 * Makes calls by promises, as many at once as `atOnce`.
 *
 * @category subjects
 * @since 0.1.0
 */
export const callsByPromise = (one: (origin: string) => Promise<unknown>): Subject => async (calls) => {
  const url = await started()
  let left = calls
  const work = async () => {
    while (left-- > 0) await one(url)
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

import * as DeadlineMiddleware from "@effect-resilience/deadline/DeadlineMiddleware"
import { ConcurrencyLimit, LimitAlgorithm } from "@effect-resilience/limit"
import * as LoadShedding from "@effect-resilience/limit/LoadShedding"
import { NodeHttpServer } from "@effect/platform-node"
import { Deferred, Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { createServer } from "node:http"
import { Api, NoSuchReport } from "./api.ts"

export const work = { began: 0, stopped: Deferred.makeUnsafe<void>() }

const reports = HttpApiBuilder.group(Api, "reports", (handlers) =>
  handlers
    .handle("read", ({ params: { id } }) =>
      id === "none" ? Effect.fail(new NoSuchReport({ id })) : Effect.delay(Effect.succeed(`report ${id}`), "50 millis"))
    .handle("compute", () =>
      Effect.suspend(() => {
        work.began++
        return Effect.never
      }).pipe(Effect.onInterrupt(() =>
        Deferred.succeed(work.stopped, undefined)
      ))))

// Outermost first: what comes too late, or is too much, costs nothing further.
const protection = HttpRouter.middleware(
  Effect.map(ConcurrencyLimit.make({ name: "reports", algorithm: LimitAlgorithm.fixed(1) }), (limit) => {
    const shedding = LoadShedding.make({ limit, retryAfter: "1 second" })
    return (app) => app.pipe(LoadShedding.withLoadShedding(shedding), DeadlineMiddleware.make({ max: "10 seconds" }))
  }),
  { global: true }
)

export const server = HttpRouter.serve(
  HttpApiBuilder.layer(Api).pipe(Layer.provide(reports), Layer.provide(protection)),
  { disableLogger: true, disableListenLog: true }
).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })))

import { Journal, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { WorkflowEngine } from "effect/workflow"
import { trap } from "../../tbm-studio/test/recorder.ts"
import * as cluster from "../src/internal/cluster.ts"
import { folder, settingsFor, tbmStudio, write } from "./command.ts"

const password = "pass-word-of-the-database"

describe("the cluster's uploads", () => {
  it.live("are sent again if a manifest gives a file another action", () =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      const target: UploadTarget.UploadTarget<typeof cluster.Item.Type, string> = {
        method: "POST",
        operation: ({ action }) => ({ name: action, endpoint: "/x", idempotent: action === "overwrite" }),
        source: ({ name }) => UploadSource.bytes(name, "a,b\n1,2\n"),
        key: undefined,
        digests: ["md5"],
        send: ({ action }, payload) =>
          Effect.as(Effect.andThen(Stream.runDrain(payload.stream), Effect.sync(() => sent.push(action))), {
            receipt: ""
          })
      }
      const item = { place: "P", name: "a.csv", file: "/a.csv", project: "P", table: "T", period: "current" as never }
      const run = (action: "overwrite" | "append") => cluster.tables.run("batch", [{ ...item, action }])
      yield* Effect.gen(function*() {
        yield* run("append")
        yield* run("append")
        yield* run("overwrite")
      }).pipe(Effect.provide(
        cluster.tables.layer(Effect.succeed(target)).pipe(
          Layer.provideMerge(Layer.merge(WorkflowEngine.layerMemory, Journal.layerMemory))
        )
      ))
      assert.deepStrictEqual(sent, ["append", "overwrite"])
    }))
})

describe("batch --durable and worker", () => {
  const manifest = Effect.map(folder, (dir) => {
    write(dir, "a.csv", "a,b\n1,2\n")
    return write(dir, "m.csv", "file,project,table,period\na.csv,P,T,January:2024\n")
  })
  const run = (args: ReadonlyArray<string>, database?: string) =>
    tbmStudio([...args, "--json"], {
      ...settingsFor("http://127.0.0.1:9"),
      ...(database === undefined ? {} : { DATABASE_URL: database })
    }).pipe(Effect.tap(({ stderr, stdout }) => Effect.sync(() => assert.notInclude(stdout + stderr, password))))
  const errorOf = ({ stdout }: { readonly stdout: string }): { readonly tag: string; readonly message: string } =>
    JSON.parse(stdout).error

  it.live("report a missing database", () =>
    Effect.gen(function*() {
      const file = yield* manifest
      const runs = yield* Effect.all([
        run(["batch", file, "--durable"]),
        run(["batch", file, "--durable"], " "),
        run(["batch", file, "--durable"], `mysql://u:${password}@127.0.0.1/uploads`)
      ], { concurrency: 2 })
      for (const ended of runs) {
        assert.strictEqual(ended.status, 64)
        assert.strictEqual(errorOf(ended).tag, "InvalidOption")
        assert.match(errorOf(ended).message, /^DATABASE_URL is not .*postgres:\/\/USER@HOST\/DATABASE\.$/)
      }
    }))

  it.live("end with 69 if the database cannot be reached, without printing its password", () =>
    Effect.gen(function*() {
      const file = yield* manifest
      const { port } = yield* trap
      const runs = yield* Effect.all([
        run(["batch", file, "--durable", "--log-level", "debug"], `postgres://u:${password}@127.0.0.1:${port}/uploads`),
        run(["batch", file, "--durable"], `postgres://u:${password}@127.0.0.1:not-a-port/uploads`)
      ], { concurrency: 2 })
      for (const ended of runs) {
        assert.deepStrictEqual([ended.status, errorOf(ended).tag], [69, "ClusterUnavailable"])
        assert.include(errorOf(ended).message, "The database that DATABASE_URL names cannot be used")
      }
    }))

  it.live("reject flags that have no meaning for a cluster", () =>
    Effect.gen(function*() {
      const file = yield* manifest
      const [durable, round] = yield* Effect.all([
        run([
          "batch",
          file,
          "--durable",
          "--no-journal",
          "--journal",
          "j",
          "--unknown",
          "skip",
          "--on-interrupt",
          "abandon"
        ]),
        run(["batch", file, "--round", "2"])
      ], { concurrency: 2 })
      assert.deepStrictEqual([durable.status, round.status], [64, 64])
      for (const flag of ["--no-journal", "--journal", "--unknown", "--on-interrupt"]) {
        assert.include(errorOf(durable).message, flag)
      }
      assert.include(errorOf(round).message, "--round: it is for --durable")
    }))
})

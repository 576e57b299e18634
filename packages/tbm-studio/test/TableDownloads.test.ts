import type { FaultRule } from "@effect-resilience/tbm-simulator"
import { Simulator } from "@effect-resilience/tbm-simulator"
import { TableAddress, TableDownloads } from "@effect-resilience/tbm-studio"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Result, Stream } from "effect"
import { impatient, studio, told, upload } from "./studio.ts"

const text = (table: string) =>
  Effect.flatMap(
    TableDownloads.TableDownloads,
    ({ read }) =>
      read(
        Result.getOrThrow(TableAddress.make({ project: "P", table, period: "January:2024" })),
        (bytes) => Stream.mkString(Stream.decodeText(bytes))
      )
  )

const downloads = Layer.provideMerge(TableDownloads.TableDownloads.layer, studio({ seed: 1 }))

describe("TableDownloads", () => {
  layer(downloads, { excludeTestServices: true })((it) => {
    const faulty = (table: string, fault: FaultRule.Fault, times?: number) =>
      Effect.flatMap(Simulator.Simulator, ({ addFaults }) =>
        addFaults([
          { match: { operation: "download", path: `tables/${table}/` }, ...times === undefined ? {} : { times }, fault }
        ]))

    it.effect("reads what was uploaded, whatever is in its name", () =>
      Effect.gen(function*() {
        const table = "A/B & C#?%+ 'ä'"
        yield* upload({ table })
        assert.strictEqual(yield* text(table), "account\tamount\n5100\t12.50\n")
      }))

    it.effect.each<[string, FaultRule.Fault, number]>([
      ["truncated", { type: "truncate" }, 2],
      ["broken", { type: "reset", at: "midResponse" }, 2],
      ["busy", { type: "status", status: 503 }, 2],
      ["expired", { type: "expireTokens" }, 1]
    ])("begins again after a response that is %s", ([table, fault, times]) =>
      Effect.gen(function*() {
        yield* upload({ table })
        yield* faulty(table, fault, times)
        assert.strictEqual(yield* text(table), "account\tamount\n5100\t12.50\n")
      }).pipe(impatient))

    it.effect("fails where no response is whole, and takes no part of one for the table", () =>
      Effect.gen(function*() {
        yield* upload({ table: "short" })
        yield* faulty("short", { type: "truncate" })
        const error = yield* Effect.flip(text("short"))
        assert.deepStrictEqual(told(error)[1], "Retry")
      }).pipe(impatient))

    it.effect.each<[string, FaultRule.Fault, string, string]>([
      ["page", { type: "html", status: 200 }, "GiveUp", "HTML page"],
      ["denied", { type: "status", status: 200, body: { message: "Access denied" } }, "GiveUp", "Access denied"],
      [
        "plain-page",
        { type: "status", status: 200, body: "<!DOCTYPE html><title>Log in</title>" },
        "GiveUp",
        "HTML page"
      ],
      ["workbook", { type: "status", status: 200, body: "PK\u0003\u0004 xl/workbook.xml" }, "GiveUp", "Excel workbook"],
      ["missing", { type: "status", status: 404 }, "Correct", "404"]
    ])("fails on a response that is no table: %s", ([table, fault, recovery, says]) =>
      Effect.gen(function*() {
        yield* upload({ table })
        yield* faulty(table, fault)
        const error = yield* Effect.flip(text(table))
        assert.deepStrictEqual([told(error)[1], error.message.includes(says)], [recovery, true], error.message)
      }))
  })
})

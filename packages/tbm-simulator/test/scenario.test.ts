import { Account, type FaultRule, Scenario } from "@effect-resilience/tbm-simulator"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { tmpdir } from "node:os"

describe("Scenario", () => {
  it("reads an array as rules, an object as options", () => {
    const rules: ReadonlyArray<FaultRule.FaultRule> = [{ times: 1, fault: { type: "hang" } }]
    assert.deepStrictEqual(Scenario.parse(`\uFEFF${JSON.stringify(rules)}`), Result.succeed({ faults: rules }))
    assert.deepStrictEqual(Scenario.parse("{}"), Result.succeed({}))
    const account = { publicKey: "p", secretKey: "s", customer: "c", domain: "d.com" }
    assert.deepStrictEqual(
      Scenario.parse(JSON.stringify({ seed: 3, faults: rules, accounts: [account], tokenLifetime: "90 seconds" })),
      Result.succeed({
        seed: 3,
        faults: rules,
        accounts: [
          { ...account, environments: Account.sample.environments, permissions: Account.sample.permissions }
        ],
        tokenLifetime: Duration.seconds(90)
      })
    )
    assert.deepStrictEqual(
      Scenario.parse("{\"tokenLifetime\":1500}"),
      Result.succeed({ tokenLifetime: Duration.millis(1500) })
    )
  })

  it.each([
    ["", "not JSON"],
    ["3", "Expected object"],
    ["[3]", "Expected object at [0]"],
    ["{\"tokenlifetime\":1}", "no excess property at [\"tokenlifetime\"]"],
    ["{\"faults\":[{\"fault\":{\"type\":\"x\"}}]}", "\"hang\""],
    ["{\"faults\":{}}", "in faults: Expected array"],
    ["{\"tokenLifetime\":\"soon\"}", "at [\"tokenLifetime\"]"],
    ["{\"tokenLifetime\":-1}", "at [\"tokenLifetime\"]"],
    ["{\"accounts\":[]}", "at [\"accounts\"]"],
    [
      "{\"accounts\":[{\"publicKey\":\"p\",\"secretKey\":\"\",\"customer\":\"c\",\"domain\":\"d\"}]}",
      "at [\"accounts\"][0][\"secretKey\"]"
    ],
    ["{\"rejectedLogin\":418,\"lockAfter\":-1}", "; "],
    ["{\"rateLimit\":{\"requests\":0,\"seconds\":1}}", "at [\"rateLimit\"][\"requests\"]"]
  ])("rejects %s in one line", (text, expected) => {
    const parsed = Scenario.parse(text)
    const detail = Result.isFailure(parsed) ? parsed.failure : "accepted"
    assert.include(detail, expected)
    assert.notInclude(detail, "\n")
  })

  it.effect("reports a missing file and a folder", () =>
    Effect.gen(function*() {
      const missing = yield* Effect.flip(Scenario.load("/none/such.json"))
      assert.strictEqual(missing.message, "cannot read the scenario /none/such.json: there is no such file")
      const folder = yield* Effect.flip(Scenario.load(tmpdir()))
      assert.strictEqual(folder.message, `cannot read the scenario ${tmpdir()}: it is not a file`)
    }).pipe(Effect.provide(NodeServices.layer)))
})

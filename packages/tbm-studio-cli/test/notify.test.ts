import { NodeServices } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { chmodSync, existsSync } from "node:fs"
import * as Notify from "../src/internal/notify.ts"
import * as Output from "../src/internal/output.ts"
import { folder, write } from "./command.ts"

it.effect("the program of --notify is stopped when it takes longer than 30 seconds", () =>
  Effect.gen(function*() {
    const dir = yield* folder
    const program = write(dir, "slow", `#!/bin/sh\ntouch ${dir}/begun\nexec sleep 600\n`)
    chmodSync(program, 0o755)
    const printed: Array<string> = []
    const notified = yield* Notify.run(program, { status: "failed" }, 69).pipe(
      Effect.provideService(Output.Behind, (_, text) => printed.push(text)),
      Effect.forkChild
    )
    yield* TestClock.withLive(Effect.sleep("20 millis")).pipe(
      Effect.repeat({ until: () => existsSync(`${dir}/begun`) })
    )
    yield* TestClock.adjust("29 seconds")
    assert.deepStrictEqual(printed, [])
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(notified)
    assert.deepStrictEqual(printed, [`--notify ${program} was stopped, since it took longer than 30 s.\n`])
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

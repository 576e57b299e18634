import { DeadlineHeader } from "@effect-resilience/deadline"
import { Duration } from "effect"
import * as fc from "fast-check"
import { assert } from "vitest"
import { fuzz, text } from "../../repo-checks/src/Fuzz.ts"

const value = text("1", "99999999", "H", "m", "n", " ", "-", "0", "1e9")

fuzz(
  "the headers of a deadline are a duration or nothing",
  fc.dictionary(fc.constantFrom("grpc-timeout", "x-envoy-expected-rq-timeout-ms"), value),
  (headers) => {
    const left = DeadlineHeader.read(headers)
    if (left !== undefined) assert.isTrue(Duration.toMillis(left) >= 0)
  }
)

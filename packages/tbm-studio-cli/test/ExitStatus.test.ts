import { AuthError } from "@effect-resilience/auth"
import { ApiError } from "@effect-resilience/errors"
import { AttemptBudget } from "@effect-resilience/retry"
import { UploaderError } from "@effect-resilience/tbm-studio"
import { ExitStatus } from "@effect-resilience/tbm-studio-cli"
import { UploadError } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

const api = (reason: ApiError.Reason) => new ApiError.ApiError({ method: "POST", endpoint: "/x", reason })

const upload = (reason: UploadError.Reason) => new UploadError.UploadError({ source: "gl.csv", reason })

const login = (reason: AuthError.Reason) => new AuthError.AuthError({ reason })

const uploader = (reason: UploaderError.Reason) => new UploaderError.UploaderError({ source: "gl.csv", reason })

const damaged = (idempotent: boolean) =>
  new UploadError.IntegrityMismatch({ what: "md5", sent: "a", stored: "b", idempotent })

const timeout = new ApiError.Timeout({ timeout: Duration.minutes(5), phase: "response" })

describe("an exit status", () => {
  it.each<[string, unknown, number]>([
    ["a request that must be corrected", api(ApiError.reasonFromStatus(404)), 65],
    ["a file that is too large", api(ApiError.reasonFromStatus(413)), 65],
    ["a response that makes no sense", api(ApiError.reasonFromStatus(418)), 65],
    ["a service that is unavailable", api(ApiError.reasonFromStatus(503)), 69],
    ["missing permission", api(ApiError.reasonFromStatus(403)), 77],
    ["an outcome that is unknown", api(new ApiError.OutcomeUnknown({ failure: timeout })), 75],
    ["a login whose key pair is wrong", login(new AuthError.Rejected({})), 77],
    ["a login that brings no token", login(new AuthError.NoToken({ expected: "a cookie" })), 65],
    ["a token that is rejected again", login(new AuthError.StillUnauthorized({})), 77],
    [
      "a session that cannot be saved",
      uploader(new UploaderError.SessionStoreFailed({ failure: { message: "full" } })),
      74
    ],
    ["a file that cannot be read", upload(new UploadError.SourceChanged({ description: "it grew" })), 66],
    ["too many failed attempts", new AttemptBudget.BudgetExhausted({ budget: "tbm-studio" }), 69],
    ["an overwrite that arrived damaged", upload(damaged(true)), 65],
    ["an append that arrived damaged, since its rows may be stored", upload(damaged(false)), 75],
    ["something that no error describes", new TypeError("x is not a function"), 70]
  ])("of %s", (_, error, status) => {
    assert.strictEqual(ExitStatus.of(error), status)
  })

  it("of several errors is that of the gravest", () => {
    assert.strictEqual(ExitStatus.gravest([0, 130, 69, 75, 65]), 75)
    assert.strictEqual(ExitStatus.gravest([]), 0)
  })
})

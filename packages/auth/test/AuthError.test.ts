import { AuthError } from "@effect-resilience/auth"
import { NotAsked, Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Data } from "effect"

const rejected = (fields: ConstructorParameters<typeof AuthError.Rejected>[0]) => new AuthError.Rejected(fields)

describe("AuthError", () => {
  for (
    const [reason, message] of [
      [rejected({}), "The login was rejected. Check the credentials."],
      [rejected({ detail: "wrong key" }), "The login was rejected: wrong key. Check the credentials."],
      [rejected({ detail: " Wrong key! " }), "The login was rejected: Wrong key! Check the credentials."],
      [
        rejected({ code: "invalid_client" }),
        "The login was rejected: the server says (invalid_client). Check the credentials."
      ],
      [
        rejected({ code: "invalid_client", detail: "who?" }),
        "The login was rejected: who? (invalid_client). Check the credentials."
      ],
      [
        rejected({ code: "invalid_client", detail: "invalid_client: who?" }),
        "The login was rejected: invalid_client: who? Check the credentials."
      ],
      [new AuthError.Unavailable({ detail: "503", recovery: Recovery.retry }), "Could not log in: 503."],
      [new AuthError.NotConfigured({ detail: "no API_KEY" }), "The login is not configured: no API_KEY."],
      [
        new AuthError.StillUnauthorized({}),
        "Still unauthorized after a new login. Check what these credentials may do."
      ],
      [
        new AuthError.NotReplayable(),
        "The token was rejected, and the body of the request cannot be sent a second time."
      ],
      [
        new AuthError.AmbiguousToken({ locations: "the headers a, b" }),
        "The login's response has different tokens in the headers a, b."
      ],
      [
        new AuthError.MalformedToken({ problem: "it is empty" }),
        "The login gave a token that cannot be sent: it is empty. Correct it where it comes from."
      ],
      [
        new AuthError.ForeignOrigin({ allowed: "https://a.test", requested: "https://b.test" }),
        "The credentials are for https://a.test and were not sent to https://b.test."
      ]
    ] as const
  ) {
    it(`says ${JSON.stringify(message)}`, () => {
      assert.strictEqual(new AuthError.AuthError({ reason }).message, message)
    })
  }

  for (
    const [reason, notAsked, recovery] of [
      [rejected({}), true, "Authorize"],
      [new AuthError.Unavailable({ detail: "503", recovery: Recovery.retry }), true, "Retry"],
      [new AuthError.NotConfigured({ detail: "" }), true, "Correct"],
      [new AuthError.NoToken({ expected: "" }), true, "GiveUp"],
      [new AuthError.MalformedToken({ problem: "" }), true, "Correct"],
      [new AuthError.AmbiguousToken({ locations: "" }), true, "GiveUp"],
      [new AuthError.ForeignOrigin({ allowed: "", requested: "" }), true, "Correct"],
      // The API was asked, and rejected the token.
      [new AuthError.StillUnauthorized({}), false, "Authorize"],
      [new AuthError.NotReplayable(), false, "Reauthenticate"]
    ] as const
  ) {
    it(`${notAsked ? "is no verdict on the API, and recovers" : "recovers"} by ${recovery} from ${reason._tag}`, () => {
      const error = new AuthError.AuthError({ reason })
      assert.strictEqual(NotAsked.isNotAsked(error), notAsked)
      assert.strictEqual(Recovery.of(error)._tag, recovery)
    })
  }

  class Untagged extends Error {
    [Recovery.symbol]() {
      return Recovery.retryAfter("1 second")
    }
  }
  class Open extends Data.TaggedError("Open")<{ readonly message: string }> {
    [Recovery.symbol]() {
      return Recovery.retryAfter("1 second")
    }
  }

  for (const error of [new Untagged("the circuit is open"), new Open({ message: "the circuit is open" })]) {
    it(`takes any other failure of a login for an outage: ${error.constructor.name}`, () => {
      const { message, reason } = AuthError.fromFailure(error)
      assert.strictEqual(message, "Could not log in: the circuit is open.")
      assert.deepStrictEqual(Recovery.of(reason), Recovery.retryAfter("1 second"))
    })
  }

  it("keeps a failure that is an AuthError already", () => {
    const error = new AuthError.AuthError({ reason: rejected({}) })
    assert.strictEqual(AuthError.fromFailure(error), error)
  })
})

import { Origin } from "@effect-resilience/auth"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"

const outcome = (url: string) =>
  Result.match(Origin.parse(url), { onFailure: (error) => error.problem, onSuccess: String })

const userInfo = "it holds user info (name@host)"
const plain = "plain http is for loopback addresses only"

describe("Origin", () => {
  for (
    const [url, expected] of [
      ["https://api.example.com", "https://api.example.com"],
      ["https://API.Example.com:443/a?b#c", "https://api.example.com"],
      ["https://api.example.com:8443/", "https://api.example.com:8443"],
      ["http://localhost:3000/x", "http://localhost:3000"],
      ["http://127.0.0.1:80/", "http://127.0.0.1"],
      ["http://127.255.0.1:81/", "http://127.255.0.1:81"],
      ["http://[::1]:3000", "http://[::1]:3000"],
      // As the URL standard has it. The look-alikes below are other hosts.
      ["http://0x7f000001/", "http://127.0.0.1"],
      ["https://api.example.com.evil.test", "https://api.example.com.evil.test"],
      ["http://127.0.0.1.evil.test/", plain],
      ["http://localhost.evil.test/", plain],
      // The resolver decides what these stand for.
      ["http://tbm.localhost/", plain],
      ["http://.localhost/", plain],
      ["http://localhost./", plain],
      ["http://api.example.com", plain],
      ["http://0.0.0.0/", plain],
      ["http://[::ffff:10.0.0.1]/", plain],
      ["https://api.example.com@evil.test", userInfo],
      ["https://user:pass@api.example.com", userInfo],
      ["https://@api.example.com", userInfo],
      ["https://:@api.example.com", userInfo],
      ["https:\\\\user@api.example.com", userInfo],
      ["https:///user@api.example.com", userInfo],
      [" https://@api.example.com", userInfo],
      // The URL standard drops control characters in front.
      ["\u0001https://api.example.com", "https://api.example.com"],
      ["ftp://api.example.com", "only https and http are known"],
      ["javascript:alert(1)", "only https and http are known"],
      ["file:///etc/passwd", "only https and http are known"],
      ["api.example.com", "not an absolute URL"],
      ["//api.example.com", "not an absolute URL"],
      ["https://", "not an absolute URL"],
      ["", "not an absolute URL"]
    ] as const
  ) {
    it(`judges ${JSON.stringify(url)}`, () => assert.strictEqual(outcome(url), expected))
  }

  it("rejects user info in a URL that is parsed already", () => {
    for (const url of ["https://user@api.example.com", "https://:pass@api.example.com"]) {
      const problem = Result.match(Origin.parse(new URL(url)), {
        onFailure: ({ problem }) => problem,
        onSuccess: String
      })
      assert.strictEqual(problem, userInfo)
    }
  })

  it("allows an at sign behind the host", () => {
    assert.strictEqual(outcome("https://api.example.com/user@home?x=a@b#@"), "https://api.example.com")
    assert.isTrue(Origin.contains(Origin.make("https://api.example.com"), "https://api.example.com/user@home"))
  })

  it("knows its own URLs in every spelling, and no other", () => {
    const origin = Origin.make("https://api.example.com")
    for (
      const url of [
        "https://api.example.com",
        "https://api.example.com?a",
        "https://api.example.com#a",
        "HTTPS://API.EXAMPLE.COM/",
        "https://api.example.com:443/"
      ]
    ) {
      assert.isTrue(Origin.contains(origin, url), url)
    }
    for (
      const url of [
        "https://api.example.com.evil.test/",
        "https://api.example.com:pass@evil.test/",
        "https://api.example.community/",
        "http://api.example.com/",
        "https://evil.test/https://api.example.com/",
        "https://api.example.com:444/"
      ]
    ) {
      assert.isFalse(Origin.contains(origin, url), url)
    }
  })

  it("throws for a constant that must not get credentials, and does not repeat it", () => {
    // Not `assert.throws`, which takes a thrown `undefined` for any error.
    const thrown = Result.try(() => Origin.make("https://key:secret@api.example.com"))
    assert.deepStrictEqual(
      thrown,
      Result.fail(new RangeError("Not an address for credentials: it holds user info (name@host)."))
    )
  })

  it("knows the loopback hosts, and no look-alike", () => {
    for (const host of ["localhost", "[::1]", "127.0.0.1", "127.12.255.255"]) {
      assert.isTrue(Origin.isLoopback(host), host)
    }
    for (const host of ["127.0.0.1.evil.test", "evil-127.0.0.1", "localhosts", "[::11]", "128.0.0.1", "127.1"]) {
      assert.isFalse(Origin.isLoopback(host), host)
    }
  })
})

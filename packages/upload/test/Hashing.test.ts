import { Hashing } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { createHash } from "node:crypto"

const implementations = { portable: Hashing.portable, native: Hashing.native() ?? Hashing.portable }

for (const [name, hashing] of Object.entries(implementations)) {
  describe(`Hashing (${name})`, () => {
    it.prop("agrees with node:crypto however the bytes are cut", [Schema.Array(Schema.Uint8Array)], ([chunks]) => {
      const hasher = hashing.start(["md5", "sha256"])
      for (const chunk of chunks) hasher.update(chunk)
      const whole = Buffer.concat(chunks)
      assert.deepStrictEqual(hasher.digest(), {
        md5: createHash("md5").update(whole).digest("hex"),
        sha256: createHash("sha256").update(whole).digest("hex")
      })
    })

    it("computes nothing where nothing is asked for", () => {
      const hasher = hashing.start([])
      hasher.update(new Uint8Array(3))
      assert.deepStrictEqual(hasher.digest(), {})
    })
  })
}

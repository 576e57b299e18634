import * as TokenCache from "@effect-resilience/auth/TokenCache"
import * as TokenSource from "@effect-resilience/auth/TokenSource"
import * as Cache from "effect/Cache"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { Suite } from "../Suite.ts"
import { effects, effectsAtOnce } from "../Suite.ts"

const secret = Redacted.make("a token of usual length, 0123456789abcdef")

const scope = Scope.makeUnsafe()
const newCache = (source: TokenSource.TokenSource) =>
  Effect.runSync(Scope.provide(TokenCache.make(source, { lifetime: "1 day" }), scope))

const cache = newCache(TokenSource.constant(secret))

const login = Effect.as(Effect.sleep(500), { value: secret })
const source = TokenSource.fromEffect(login, { identity: ["bench"] })
const cold = newCache(source)
const effectCache = Effect.runSync(Cache.make({ capacity: 1, lookup: (_: "token") => login }))

const suite: Suite = {
  name: "auth",
  packages: ["effect"],
  cases: [
    {
      name: "a warm token",
      ours: "TokenCache.get",
      subjects: {
        "TokenCache.get": effects(() => cache.get),
        "Cache.get": effects(() => Cache.get(effectCache, "token"))
      }
    },
    {
      name: "100,000 callers of one cold cache",
      ours: "TokenCache.get",
      batch: 100_000,
      apart: true,
      subjects: {
        "TokenCache.get": effectsAtOnce(() => cold.get),
        "Cache.get": effectsAtOnce(() => Cache.get(effectCache, "token"))
      }
    }
  ]
}

export default suite

import { Config, Effect } from "effect"
import { servesOnce } from "../idempotency.ts"
import { sharesTokens } from "../processes.ts"

const store = Effect.orDie(Config.String("REDIS_URL"))

sharesTokens("Redis", store)
servesOnce("Redis", store)

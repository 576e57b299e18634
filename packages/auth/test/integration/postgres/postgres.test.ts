import { Config, Effect } from "effect"
import { servesOnce } from "../idempotency.ts"
import { sharesTokens } from "../processes.ts"

const store = Effect.orDie(Config.String("DATABASE_URL"))

sharesTokens("Postgres", store)
servesOnce("Postgres", store)

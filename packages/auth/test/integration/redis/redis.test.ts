import { Config, Effect } from "effect"
import { sharesTokens } from "../processes.ts"

sharesTokens("Redis", Effect.orDie(Config.String("REDIS_URL")))

import { Config, Effect } from "effect"
import { staysUsable } from "../silent.ts"

staysUsable("Redis", Effect.orDie(Config.String("REDIS_URL")))

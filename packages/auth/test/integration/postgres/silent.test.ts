import { Config, Effect } from "effect"
import { staysUsable } from "../silent.ts"

staysUsable("Postgres", Effect.orDie(Config.String("DATABASE_URL")))

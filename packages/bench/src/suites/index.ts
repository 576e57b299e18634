import type { Suite } from "../Suite.ts"
import auth from "./auth.ts"
import http from "./http.ts"
import retry from "./retry.ts"
import timeout from "./timeout.ts"

export const suites: ReadonlyArray<Suite> = [auth, http, retry, timeout]

import type { Suite } from "../Suite.ts"
import auth from "./auth.ts"
import breaker from "./breaker.ts"
import bulkhead from "./bulkhead.ts"
import http from "./http.ts"
import pipeline from "./pipeline.ts"
import retry from "./retry.ts"
import timeout from "./timeout.ts"
import upload from "./upload.ts"

export const suites: ReadonlyArray<Suite> = [auth, http, retry, timeout, breaker, bulkhead, pipeline, upload]

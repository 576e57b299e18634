import type { Suite } from "../Suite.ts"
import retry from "./retry.ts"
import timeout from "./timeout.ts"

export const suites: ReadonlyArray<Suite> = [retry, timeout]

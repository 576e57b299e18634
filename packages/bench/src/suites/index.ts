import type { Suite } from "../Suite.ts"

/** Read one by one: what a suite sets up would weigh on the memory and the collector of the others. */
export const suites: { readonly [name: string]: () => Promise<{ readonly default: Suite }> } = {
  auth: () => import("./auth.ts"),
  http: () => import("./http.ts"),
  client: () => import("./client.ts"),
  scrubber: () => import("./scrubber.ts"),
  retry: () => import("./retry.ts"),
  timeout: () => import("./timeout.ts"),
  breaker: () => import("./breaker.ts"),
  bulkhead: () => import("./bulkhead.ts"),
  semaphore: () => import("./semaphore.ts"),
  node: () => import("./node.ts"),
  pipeline: () => import("./pipeline.ts"),
  upload: () => import("./upload.ts"),
  manifest: () => import("./manifest.ts"),
  lab: () => import("./lab.ts"),
  hacks: () => import("./hacks.ts")
}

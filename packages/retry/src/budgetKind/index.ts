export { expiring } from "./expiring.ts"
export { inFlight } from "./inFlight.ts"
export { quota } from "./quota.ts"
export { retryThrottling } from "./retryThrottling.ts"

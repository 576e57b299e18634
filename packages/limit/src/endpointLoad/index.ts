export { inFlight } from "./inFlight.ts"
export { peakEwma } from "./peakEwma.ts"

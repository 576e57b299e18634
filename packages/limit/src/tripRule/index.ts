export { consecutive } from "./consecutive.ts"
export { rate } from "./rate.ts"
export { rateWithin } from "./rateWithin.ts"
export { slow } from "./slow.ts"

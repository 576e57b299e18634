export { bimodal } from "./bimodal.ts"
export { constant } from "./constant.ts"
export { exponential } from "./exponential.ts"

export * as Chart from "./Chart.ts"
export * as Lab from "./Lab.ts"
export * as LabResult from "./LabResult.ts"
export * as VirtualTime from "./VirtualTime.ts"

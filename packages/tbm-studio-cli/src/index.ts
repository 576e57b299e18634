export * as ExitStatus from "./ExitStatus.ts"
export * as Manifest from "./Manifest.ts"
export * as TokenFile from "./TokenFile.ts"

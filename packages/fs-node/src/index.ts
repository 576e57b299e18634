export * as LocalFileSystem from "./LocalFileSystem.ts"

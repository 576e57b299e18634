#!/usr/bin/env node
import module from "node:module"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`tbm-studio needs Node 22.19 or later; this is ${process.version}.\n`)
  process.exit(64)
}
module.enableCompileCache?.()
await import("../dist/command.js")

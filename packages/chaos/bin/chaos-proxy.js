#!/usr/bin/env node
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`chaos-proxy needs Node 22.19 or later; this is ${process.version}.\n`)
  process.exit(64)
}
await import("../dist/main.js")

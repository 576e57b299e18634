#!/usr/bin/env node
import { existsSync, lstatSync, mkdirSync, realpathSync } from "node:fs"
import module from "node:module"
import { homedir } from "node:os"
import { dirname, isAbsolute, join } from "node:path"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`tbm-studio needs Node 22.19 or later; this is ${process.version}.\n`)
  process.exit(64)
}

/**
 * Whether only this user and root can replace this folder: each folder above it belongs to one of them, and others cannot
 * write to it unless it is sticky.
 */
const isOurs = (path, user) => {
  while (!existsSync(path)) path = dirname(path)
  for (let at = realpathSync(path);; at = dirname(at)) {
    const { mode, uid } = lstatSync(at)
    if ((uid !== user && uid !== 0) || ((mode & 0o022) !== 0 && (mode & 0o1000) === 0)) return false
    if (at === dirname(at)) return true
  }
}

/**
 * The folder of compiled code. The code runs without a check, so the folder must belong to this user alone; otherwise none is
 * used. Node would use the shared folder for temporary files.
 */
const cacheFolder = () => {
  try {
    const user = process.geteuid()
    const given = process.env["XDG_CACHE_HOME"] ?? ""
    const above = join(isAbsolute(given) ? given : join(homedir(), ".cache"), "tbm-studio")
    const folder = join(above, "compiled")
    if (!isOurs(above, user)) return undefined
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { mode, uid } = lstatSync(folder)
    // `lstat` does not follow links, so a link is not a directory.
    return isOurs(above, user) && uid === user && (mode & 0o170_777) === 0o040_700 ? folder : undefined
  } catch {
    return undefined
  }
}

// A signal that arrives before the command is loaded is held back for it.
const early = []
const hold = (signal) => early.push(signal)
const signals = ["SIGINT", "SIGTERM", "SIGHUP"]
for (const signal of signals) process.on(signal, hold)

const folder = cacheFolder()
if (folder !== undefined) module.enableCompileCache?.(folder)
await import("../dist/command.js")

for (const signal of signals) process.off(signal, hold)
for (const signal of early) process.emit(signal)

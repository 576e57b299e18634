import * as Predicate from "effect/Predicate"
import * as Transport from "../Transport.ts"
import { property } from "./property.ts"

/** True for a failure on this machine, before the server had any part in it. */
export const isLocal = ({ code, connected, kind }: Transport.Diagnosis): boolean => {
  if (kind === "unknown") return code !== undefined && localCodes.has(code)
  return localKinds.has(kind) || (!connected && (kind === "busy" || kind === "closed"))
}

const localKinds: ReadonlySet<Transport.Kind> = /* @__PURE__ */ new Set<Transport.Kind>([
  "address",
  "body",
  "local",
  "request"
])

/** The same for any error of a runtime. */
export const isLocalError = (error: object): boolean => isLocal(Transport.diagnose(error)) || isFileError(error)

// Out of handles, and codes that only files and folders have.
const localCodes: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "EMFILE",
  "ENFILE",
  "EIO",
  "EISDIR",
  "ENOTDIR",
  "ENOSPC",
  "EROFS",
  "ELOOP",
  "ENAMETOOLONG"
])

// ENOENT can come from `open` for a file, and from `connect` for a Unix socket without a listener.
const isFileError = (error: object): boolean => {
  let current: unknown = error
  for (let depth = 0; depth < 8 && Predicate.isObject(current); depth++) {
    const call = property(current, "syscall")
    if (typeof call === "string") return fileCalls.has(call) && Transport.diagnose(current).kind === "unknown"
    current = property(current, "cause")
  }
  return false
}

const fileCalls: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "access",
  "fstat",
  "lstat",
  "open",
  "opendir",
  "read",
  "readlink",
  "realpath",
  "scandir",
  "stat"
])

/**
 * Computes digests of bytes that pass by, in one go and in constant memory.
 *
 * **Why**
 *
 * `effect/crypto` and WebCrypto hash whole arrays only, which a 2 GB file is not. Here the digest grows chunk by chunk,
 * beside the send.
 *
 * **Details**
 *
 * By default the runtime's own implementation does the work where there is one (Node, Bun and Deno have
 * `process.getBuiltinModule`), otherwise `@noble/hashes` in plain JavaScript. Replace `Current` to use another.
 *
 * **Example** (Hashing in two pieces)
 *
 * ```ts import.meta.vitest
 * import { Hashing } from "@effect-resilience/upload"
 * import { Effect } from "effect"
 *
 * const digests = Effect.gen(function*() {
 *   const hasher = (yield* Hashing.Current).start(["md5"])
 *   hasher.update(new TextEncoder().encode("hello "))
 *   hasher.update(new TextEncoder().encode("world"))
 *   return hasher.digest()
 * })
 * await Effect.runPromise(digests) // => { md5: "5eb63bbbe01eeed093cb22bb8f5acdc3" }
 * ```
 *
 * @since 0.1.0
 */
import { md5 } from "@noble/hashes/legacy.js"
import { sha256 } from "@noble/hashes/sha2.js"
import * as Context from "effect/Context"
import * as Hex from "effect/encoding/Hex"
import * as Predicate from "effect/Predicate"

/**
 * `md5` is what many upload services answer with. It detects accidents, not attackers.
 *
 * @category models
 * @since 0.1.0
 */
export type Algorithm = "md5" | "sha256"

/**
 * Digests in lower-case hexadecimal.
 *
 * @category models
 * @since 0.1.0
 */
export type Digests = { readonly [algorithm in Algorithm]?: string | undefined }

/**
 * Takes chunks in order, then tells their digests once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hasher {
  readonly update: (chunk: Uint8Array) => void
  readonly digest: () => Digests
}

/**
 * Starts hashers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hashing {
  readonly start: (algorithms: ReadonlyArray<Algorithm>) => Hasher
}

interface Incremental {
  readonly update: (chunk: Uint8Array) => unknown
  readonly hex: () => string
}

const fromIncremental = (create: (algorithm: Algorithm) => Incremental): Hashing => ({
  start: (algorithms) => {
    const running = algorithms.map((algorithm) => [algorithm, create(algorithm)] as const)
    return {
      update: (chunk) => {
        for (const [, hash] of running) hash.update(chunk)
      },
      digest: () => Object.fromEntries(running.map(([algorithm, hash]) => [algorithm, hash.hex()]))
    }
  }
})

/**
 * Hashing in plain JavaScript, for any runtime.
 *
 * @category implementations
 * @since 0.1.0
 */
export const portable: Hashing = /* @__PURE__ */ fromIncremental((algorithm) => {
  const hash = algorithm === "md5" ? md5.create() : sha256.create()
  return { update: (chunk) => hash.update(chunk), hex: () => Hex.encode(hash.digest()) }
})

/**
 * Hashing by the runtime's own `crypto` module, if it has one: eight to nine times as fast as `portable` on Node 24.
 *
 * @category implementations
 * @since 0.1.0
 */
export const native = (): Hashing | undefined => {
  const crypto = nativeCrypto()
  return crypto === undefined ? undefined : fromIncremental((algorithm) => {
    const hash = crypto.createHash(algorithm)
    return { update: (chunk) => hash.update(chunk), hex: () => hash.digest("hex") }
  })
}

/**
 * The implementation that uploads use: `native` where there is one, otherwise `portable`.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Hashing> = /* @__PURE__ */ Context.Reference<Hashing>(
  "@effect-resilience/upload/Hashing/Current",
  { defaultValue: () => native() ?? portable }
)

interface NativeCrypto {
  readonly createHash: (algorithm: Algorithm) => {
    readonly update: (chunk: Uint8Array) => unknown
    readonly digest: (encoding: "hex") => string
  }
}

const nativeCrypto = (): NativeCrypto | undefined => {
  const runtime: unknown = Reflect.get(globalThis, "process")
  if (!Predicate.hasProperty(runtime, "getBuiltinModule") || typeof runtime.getBuiltinModule !== "function") {
    return undefined
  }
  const crypto: unknown = runtime.getBuiltinModule("node:crypto")
  return isNativeCrypto(crypto) ? crypto : undefined
}

const isNativeCrypto = (u: unknown): u is NativeCrypto =>
  Predicate.hasProperty(u, "createHash") && typeof u.createHash === "function"

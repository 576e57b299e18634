import * as Predicate from "effect/Predicate"

/** A module of Node.js, which Bun and Deno have too, without an import that a browser could not resolve. */
export const builtin = (name: string): unknown => {
  const runtime: unknown = Reflect.get(globalThis, "process")
  return Predicate.hasProperty(runtime, "getBuiltinModule") && typeof runtime.getBuiltinModule === "function"
    ? runtime.getBuiltinModule(name)
    : undefined
}

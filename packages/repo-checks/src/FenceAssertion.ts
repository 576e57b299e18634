/** What `// =>` does in a test: equality by effect's rules, or else by vitest's, with vitest's report of the difference. */
import * as Equal from "effect/Equal"
import { expect } from "vitest"

export const equals = (actual: unknown, expected: unknown): void => {
  if (Equal.equals(actual, expected)) return
  try {
    expect(actual).toStrictEqual(expected)
  } catch (error) {
    // The failure belongs to the line of the fence.
    if (error instanceof Error) Error.captureStackTrace(error, equals)
    throw error
  }
}

import type { Path, Subject } from "./subject.ts"

/** An error keeps an outage alive, repeats what must not be repeated, or contradicts itself. Advice may be wrong in a single case. */
export type Level = "error" | "advice"

/** A mistake that a rule found. */
export interface Finding {
  readonly path: Path
  /** What is wrong, in one sentence. */
  readonly message: string
  /** The numbers that show it. */
  readonly arithmetic?: string | undefined
  readonly fix: string
  /** Where it is milder than the rule, since something is not known. */
  readonly level?: Level | undefined
}

/** A rule of the lint. */
export interface Rule {
  readonly name: string
  readonly level: Level
  /** Why it matters, whatever the numbers. */
  readonly why: string
  readonly check: (subject: Subject) => ReadonlyArray<Finding>
  /** A description that the rule catches, and the same without the mistake. */
  readonly caught: unknown
  readonly clean: unknown
}

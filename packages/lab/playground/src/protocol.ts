/** What the page asks its workers, and what they say. All of it is JSON. */
import type { Data } from "../../src/Chart.ts"
import type { Span, Verdict, World } from "../../src/internal/scenario.ts"
import type { Json } from "../../src/internal/subject.ts"
import type { LabResult } from "../../src/LabResult.ts"

export type { Verdict, World }

/** The description of a pipeline or client. */
export type Policy = Json

/** A remark about a line of a text. */
export interface Remark {
  readonly kind: "error" | "advice"
  readonly line: number
  readonly text: string
}

/** What a text says, if it says something, and what is to be remarked about it. */
export interface Reading<A> {
  readonly value: A | undefined
  readonly remarks: ReadonlyArray<Remark>
}

/** What a world amounts to: requests a second that the server can take and that callers make, and times in seconds. */
export interface Facts {
  readonly capacity: number
  readonly offered: number
  readonly duration: number
  readonly outages: ReadonlyArray<Span>
}

/** What became of one policy in a world, and what a picture of it shows. */
export interface Run {
  readonly facts: Facts
  readonly result: LabResult
  readonly verdict: Verdict
  readonly drawn: Data
}

/** What the command writes of a simulation: `--json`, `--csv`, `--svg`, and the picture in one theme. */
export type Written = "json" | "csv" | "svg" | "light" | "dark"

/** Questions by name, with what each is given and what it gives back. */
export interface Questions {
  readonly readPolicy: (text: string, world: World) => Reading<Policy>
  readonly readWorld: (text: string) => Reading<World>
  /** A description, or a simulation with its policy. */
  readonly readFile: (text: string) => {
    readonly policy: Policy | undefined
    readonly world: World | undefined
    readonly remarks: ReadonlyArray<Remark>
  }
  readonly simulate: (world: World, policy: Policy) => Run
  readonly judge: (world: World, policy: Policy) => Verdict
  /** The picture and the numbers as the command writes them. */
  readonly write: (world: World, policy: Policy, as: Written) => string
}

export interface Question<K extends keyof Questions = keyof Questions> {
  readonly id: number
  readonly name: K
  readonly input: Parameters<Questions[K]>
}

export type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly problem: string }

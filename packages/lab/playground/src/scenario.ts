/** What the page shows. */
import type { Policy, World } from "./protocol.ts"

/** What is simulated: two policies, in one world unless the safer lane has its own. */
export interface Scenario {
  readonly yours: Policy
  readonly safer: Policy
  readonly world: World
  readonly saferWorld?: World | undefined
}

export type Part = "yours" | "safer" | "world" | "saferWorld"

export type Lane = "yours" | "safer"

export const worldOf = (scenario: Scenario, lane: Lane): World =>
  lane === "safer" ? scenario.saferWorld ?? scenario.world : scenario.world

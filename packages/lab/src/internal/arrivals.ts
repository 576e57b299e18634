import type { VirtualTime } from "../VirtualTime.ts"
import type { Chance } from "./chance.ts"

/** Lets calls begin, from now on. */
export type Arrivals = (world: {
  readonly time: VirtualTime
  readonly random: Chance
  /** Begins a call. `ended` hears of its end. */
  readonly call: (ended: () => void) => void
}) => void

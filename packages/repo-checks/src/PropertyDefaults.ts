/**
 * The seed and size of properties. By Effect's defaults the seed is another one in each run, and the size of 10 makes
 * sequences of two commands and one number in two the same as another.
 */
import * as Arbitrary from "effect/Arbitrary"

Arbitrary.configureGlobal({ check: { seed: "effect-resilience", size: 100 } })

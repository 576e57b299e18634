/**
 * A TBM Studio that runs in this process, for tests, examples and the demonstration.
 *
 * **Example** (Logging in to a simulator)
 *
 * ```ts import.meta.vitest
 * import { Simulator } from "@effect-resilience/tbm-simulator"
 * import { Frontdoor, TbmStudio } from "@effect-resilience/tbm-studio"
 * import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const simulator = yield* Simulator.Simulator
 *   const frontdoor = yield* Frontdoor.Frontdoor
 *   yield* frontdoor.environmentId
 *   return (yield* simulator.state).logins
 * })
 *
 * const live = TbmStudio.layer.pipe(
 *   Layer.provideMerge(SimulatedStudio.layer()),
 *   Layer.provide(NodeHttpClient.layerUndici)
 * )
 * await Effect.runPromise(Effect.provide(program, live)) // => 1
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Simulator from "@effect-resilience/tbm-simulator/Simulator"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Settings } from "./Settings.ts"

/**
 * Starts a simulator on a free port of this machine, and provides settings that connect to it with the sample account.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Simulator.Options
): Layer.Layer<Simulator.Simulator | Settings, Simulator.ListenError> =>
  Layer.effect(
    Settings,
    Effect.map(Simulator.Simulator, ({ url }) => ({
      customer: "acme",
      domain: "acme.com",
      region: "us" as const,
      environment: "main",
      publicKey: Redacted.make("sim-public-key"),
      secretKey: Redacted.make("sim-secret-key"),
      frontdoor: url,
      api: url,
      datalink: url
    }))
  ).pipe(Layer.provideMerge(Simulator.layer(options)))

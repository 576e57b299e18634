/** Where the boundary of recovery runs, and whether one seed was luck. */
import { createSignal, For, Show } from "solid-js"
import type { Page } from "../page.ts"
import type { Facts, Verdict, World } from "../protocol.ts"
import type { Lane, Scenario } from "../scenario.ts"
import { worldOf } from "../scenario.ts"
import { forgotten } from "../workers.ts"

const loads = [50, 60, 70, 80, 90]

const lengths = [2, 5, 10, 20, 40]

const seeds = 20

/** The world at another load and length of outage, or with another seed. */
const elsewhere = (world: World, facts: Facts, load: number, length: number): World => ({
  ...world,
  arrivals: "open" in world.arrivals
    ? { open: { ...world.arrivals.open, perSecond: facts.capacity * load / 100 } }
    : world.arrivals,
  duration: `${Math.round(facts.duration + length)} seconds`,
  outages: [world.outages ?? []].flat().map((outage) => ({ ...outage, for: `${length} seconds` }))
})

const words = (verdict: Verdict | undefined): string =>
  verdict === undefined ? "…" : verdict.recoverySeconds === null ? "never" : `${Math.round(verdict.recoverySeconds)} s`

const kind = (verdict: Verdict | undefined): string =>
  verdict === undefined
    ? "open"
    : verdict.recoverySeconds === null
    ? "never"
    : verdict.recoverySeconds <= 10
    ? "soon"
    : "late"

export const Compare = (props: { readonly page: Page }) => {
  const [verdicts, setVerdicts] = createSignal<ReadonlyMap<string, Verdict>>(new Map())
  const [of, setOf] = createSignal<Scenario>()
  const [left, setLeft] = createSignal(0)
  const facts = () => props.page.run("yours")?.facts

  const calculate = () => {
    const now = props.page.scenario()
    const known = facts()
    if (known === undefined) return
    props.page.background.forget()
    setVerdicts(new Map())
    setOf(now)
    const judge = (key: string, lane: Lane, world: World) => {
      setLeft((left) => left + 1)
      props.page.background.ask("judge", world, now[lane]).then(
        (verdict) => {
          if (of() === now) setVerdicts((all) => new Map(all).set(key, verdict))
        },
        (error: unknown) => {
          if (error !== forgotten) setVerdicts((all) => new Map(all))
        }
      ).finally(() => setLeft((left) => left - 1))
    }
    for (const lane of ["yours", "safer"] as const) {
      const world = worldOf(now, lane)
      for (let seed = 0; seed < seeds; seed++) judge(`${lane} seed ${seed}`, lane, { ...world, seed })
    }
    for (const length of lengths) {
      for (const load of loads) {
        for (const lane of ["yours", "safer"] as const) {
          judge(`${lane} ${load} ${length}`, lane, elsewhere(worldOf(now, lane), known, load, length))
        }
      }
    }
  }

  return (
    <div class="compare">
      <p>
        Would another load or a shorter outage have been survived, and was this seed luck? This runs {seeds} seeds and
        {" "}
        {loads.length * lengths.length} worlds of each policy:{" "}
        <button type="button" onClick={calculate}>Calculate</button>{" "}
        <span aria-live="polite">{left() > 0 ? `${left()} to go` : of() === undefined ? "" : "done"}</span>
      </p>
      <Show when={of() !== undefined && of() !== props.page.scenario()}>
        <p class="hint">The scenario has changed since.</p>
      </Show>
      <Show when={of()}>
        <div class="maps">
          <For each={["yours", "safer"] as const}>
            {(lane) => (
              <div class="scroll" tabindex="0" role="region" aria-label={`${lane}: when calls succeed again`}>
                <table class="map">
                  <caption>{lane === "yours" ? "Yours" : "Safer"}: time until calls succeed again, by load</caption>
                  <thead>
                    <tr>
                      <th scope="col">Outage</th>
                      <For each={loads}>{(load) => <th scope="col">{load} %</th>}</For>
                    </tr>
                  </thead>
                  <tbody>
                    <For each={lengths}>
                      {(length) => (
                        <tr>
                          <th scope="row">{length} s</th>
                          <For each={loads}>
                            {(load) => {
                              const verdict = () => verdicts().get(`${lane} ${load} ${length}`)
                              return (
                                <td class={`${kind(verdict())}${isHere(facts(), load, length) ? " here" : ""}`}>
                                  {words(verdict())}
                                </td>
                              )
                            }}
                          </For>
                        </tr>
                      )}
                    </For>
                  </tbody>
                </table>
                <p class="seeds">
                  <span>{seeds} seeds:</span>
                  <For each={Array.from({ length: seeds }, (_, seed) => seed)}>
                    {(seed) => {
                      const verdict = () => verdicts().get(`${lane} seed ${seed}`)
                      return <span class={kind(verdict())}>{words(verdict())}</span>
                    }}
                  </For>
                </p>
              </div>
            )}
          </For>
        </div>
        <p class="hint">The framed cell is the nearest to your scenario.</p>
      </Show>
    </div>
  )
}

const nearest = (values: ReadonlyArray<number>, value: number): number | undefined =>
  values.toSorted((a, b) => Math.abs(a - value) - Math.abs(b - value))[0]

const isHere = (facts: Facts | undefined, load: number, length: number): boolean => {
  const [outage] = facts?.outages ?? []
  return facts !== undefined && outage !== undefined &&
    nearest(loads, facts.offered / facts.capacity * 100) === load &&
    nearest(lengths, outage.to - outage.from) === length
}

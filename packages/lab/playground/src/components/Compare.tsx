/** Where the boundary of recovery runs, and whether one seed was luck. */
import { createMemo, createSignal, For, Show } from "solid-js"
import * as map from "../map.ts"
import type { Page } from "../page.ts"
import type { Verdict, World } from "../protocol.ts"
import type { Lane, Scenario } from "../scenario.ts"
import { worldOf } from "../scenario.ts"
import { forgotten } from "../workers.ts"

const seeds = Array.from({ length: 20 }, (_, seed) => seed)

const lanes = ["yours", "safer"] as const

const titles: { readonly [L in Lane]: string } = { yours: "Yours", safer: "Safer" }

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

/** Where the map ends: the cell is on the other side of the boundary than its neighbor. */
const edge = (verdict: Verdict | undefined, neighbor: Verdict | undefined): boolean =>
  verdict !== undefined && neighbor !== undefined &&
  (verdict.recoverySeconds === null) !== (neighbor.recoverySeconds === null)

export const Compare = (props: { readonly page: Page }) => {
  const [verdicts, setVerdicts] = createSignal<ReadonlyMap<string, Verdict>>(new Map())
  const [of, setOf] = createSignal<Scenario>()
  const [axes, setAxes] = createSignal<map.Axes | string>("")
  const [left, setLeft] = createSignal(0)
  const drawn = () => {
    const now = axes()
    return typeof now === "string" ? undefined : now
  }
  const reason = () => {
    const now = axes()
    return typeof now === "string" ? now : undefined
  }

  const calculate = () => {
    const now = props.page.scenario()
    const facts = props.page.run("yours")?.facts
    if (facts === undefined) return
    const axes = map.axesOf(now.world, facts)
    props.page.background.forget()
    setVerdicts(new Map())
    setAxes(axes)
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
    for (const { length, load } of typeof axes === "string" ? [] : map.points(axes)) {
      for (const lane of lanes) {
        judge(map.key(lane, load, length), lane, map.elsewhere(worldOf(now, lane), facts, load, length))
      }
    }
    for (const lane of lanes) {
      for (const seed of seeds) judge(`${lane} seed ${seed}`, lane, { ...worldOf(now, lane), seed })
    }
  }

  return (
    <div class="compare">
      <p>
        Would less load or a shorter outage have been survived, and was this seed luck? This runs the worlds around
        yours, and {seeds.length} seeds of it, for each policy:{" "}
        <button type="button" onClick={calculate}>Calculate</button>{" "}
        <span role="status">{left() > 0 ? `${left()} to go` : of() === undefined ? "" : "done"}</span>
      </p>
      <Show when={of() !== undefined && of() !== props.page.scenario()}>
        <p class="hint">The scenario has changed since.</p>
      </Show>
      <Show when={of()}>
        <Show when={reason()}>{(text) => <p class="no-map">{text()}</p>}</Show>
        <div class="maps">
          <For each={lanes}>
            {(lane) => (
              <div>
                <Show when={drawn()}>
                  {(drawn) => <Boundary lane={lane} axes={drawn()} verdicts={verdicts()} />}
                </Show>
                <p class="seeds">
                  <span>{titles[lane]}, {seeds.length} seeds:</span>
                  <For each={seeds}>
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
      </Show>
    </div>
  )
}

const Boundary = (props: {
  readonly lane: Lane
  readonly axes: map.Axes
  readonly verdicts: ReadonlyMap<string, Verdict>
}) => {
  const at = (load: number | undefined, length: number | undefined) =>
    load === undefined || length === undefined ? undefined : props.verdicts.get(map.key(props.lane, load, length))
  const boundary = createMemo(() => map.boundary(props.axes, (load, length) => at(load, length)?.recoverySeconds))
  return (
    <>
      <div class="scroll" tabindex="0" role="region" aria-label={`${titles[props.lane]}: when calls succeed again`}>
        <table class="map">
          <caption>
            {titles[props.lane]}: time until calls succeed again, by load of the server
          </caption>
          <thead>
            <tr>
              <th scope="col">Outage</th>
              <For each={props.axes.loads}>{(load) => <th scope="col">{load} %</th>}</For>
            </tr>
          </thead>
          <tbody>
            <For each={props.axes.lengths}>
              {(length, row) => (
                <tr>
                  <th scope="row">{length} s</th>
                  <For each={props.axes.loads}>
                    {(load, column) => {
                      const verdict = () => at(load, length)
                      return (
                        <td
                          class={[
                            kind(verdict()),
                            load === props.axes.load && length === props.axes.length ? "here" : "",
                            edge(verdict(), at(props.axes.loads[column() - 1], length)) ? "edge-left" : "",
                            edge(verdict(), at(load, props.axes.lengths[row() - 1])) ? "edge-above" : ""
                          ].join(" ")}
                        >
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
      </div>
      <p class="boundary" aria-live="polite">{boundary()}</p>
      <p class="hint">
        The framed cell is yours. Never: not within {map.watched - map.window} seconds.
      </p>
    </>
  )
}

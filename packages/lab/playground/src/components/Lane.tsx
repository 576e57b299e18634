/** One policy: its verdict, its picture, and the same as a table. */
import { createMemo, createSignal, For, onCleanup, Show } from "solid-js"
import * as knobs from "../knobs.ts"
import type { Page } from "../page.ts"
import { picture, top } from "../picture.ts"
import type { Run } from "../protocol.ts"
import { worldOf } from "../scenario.ts"
import type { Lane as LaneName } from "../scenario.ts"
import { outcome, percent, sentence, verdict, whole } from "../words.ts"

const show = (run: Run | undefined) => run === undefined ? "Calculating …" : verdict(run.verdict)

/** A storm that ends is no success, but no failure either. */
const tone = (run: Run | undefined): string =>
  run === undefined || !run.verdict.storm
    ? ""
    : run.facts.outages.length > 0 && run.verdict.recoverySeconds === null
    ? "bad"
    : "poor"

export const Lane = (props: { readonly page: Page; readonly lane: LaneName; readonly title: string }) => {
  const run = () => props.page.run(props.lane)
  const opening = run()
  const does = () => knobs.words(props.page.scenario()[props.lane], worldOf(props.page.scenario(), props.lane))
  const [width, setWidth] = createSignal(document.documentElement.clientWidth)
  const svg = createMemo(() => {
    const now = run()
    return now === undefined ? "" : picture(now, {
      width: width(),
      // Both lanes and the controls are to fit on a phone.
      height: width() < 480 ? 120 : 200,
      top: top([props.page.run("yours"), props.page.run("safer")])
    })
  })
  const observer = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0))
  onCleanup(() => observer.disconnect())
  return (
    <article class={`lane ${props.lane}`}>
      <h2>
        {props.title}: <span class="policy">{does()}</span>
      </h2>
      <p class={`verdict ${tone(run())}`} aria-live="polite">
        {show(run())}
      </p>
      <div
        class="picture"
        classList={{ first: run() === opening }}
        ref={(element) => observer.observe(element)}
        innerHTML={svg()}
      />
      <Show when={run()}>
        {(now) => (
          <details class="numbers">
            <summary>{outcome(now())}</summary>
            <p>{sentence(now())}</p>
            <div class="scroll" tabindex="0" role="region" aria-label={`${props.title}: numbers`}>
              <table>
                <thead>
                  <tr>
                    <th scope="col">Second</th>
                    <th scope="col">Calls</th>
                    <th scope="col">Requests sent</th>
                    <th scope="col">Good</th>
                    <th scope="col">Rejected</th>
                    <th scope="col">Waiting at the server</th>
                  </tr>
                </thead>
                <tbody>
                  <For each={now().result.seconds}>
                    {(second, index) => (
                      <tr>
                        <th scope="row">{index()}</th>
                        <td>{whole(second.offered)}</td>
                        <td>{whole(second.sent)}</td>
                        <td>{percent(second.offered === 0 ? 1 : second.good / second.offered)}</td>
                        <td>{whole(second.rejected)}</td>
                        <td>{whole(second.queue)}</td>
                      </tr>
                    )}
                  </For>
                </tbody>
              </table>
            </div>
          </details>
        )}
      </Show>
    </article>
  )
}

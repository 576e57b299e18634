/** One policy: its verdict, its picture, and the same as a table. */
import { createMemo, createSignal, For, onCleanup, Show } from "solid-js"
import type { Page } from "../page.ts"
import { picture, top } from "../picture.ts"
import type { Run } from "../protocol.ts"
import type { Lane as LaneName } from "../scenario.ts"
import { percent, sentence, verdict, whole } from "../words.ts"

const show = (run: Run | undefined) => run === undefined ? "Calculating …" : verdict(run.verdict)

export const Lane = (props: { readonly page: Page; readonly lane: LaneName; readonly title: string }) => {
  const run = () => props.page.run(props.lane)
  const opening = run()
  const [width, setWidth] = createSignal(document.documentElement.clientWidth)
  const svg = createMemo(() => {
    const now = run()
    return now === undefined ? "" : picture(now, {
      width: width(),
      top: top([props.page.run("yours"), props.page.run("safer")])
    })
  })
  const observer = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0))
  onCleanup(() => observer.disconnect())
  return (
    <article class={`lane ${props.lane}`}>
      <h2>{props.title}</h2>
      <p class="verdict" aria-live="polite" classList={{ bad: run()?.verdict.storm ?? false }}>
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
            <summary>{sentence(now())}</summary>
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

/** Files, a link and a command: what a reader carries away. */
import { createSignal, For } from "solid-js"
import type { Page } from "../page.ts"
import * as take from "../takeHome.ts"

export const TakeHome = (props: { readonly page: Page }) => {
  const [copied, setCopied] = createSignal("")
  const files = () =>
    take.files(
      props.page.scenario(),
      (as) => props.page.background.ask("write", props.page.scenario().world, props.page.scenario().yours, as)
    )
  const copy = (what: string, text: string) => {
    navigator.clipboard.writeText(text).then(
      () => setCopied(`${what} copied.`),
      () => setCopied(`Copy it by hand: ${text}`)
    )
  }
  return (
    <div class="take">
      <ul>
        <For each={files()}>
          {(file) => (
            <li>
              <button type="button" onClick={() => void save(file)}>{file.name}</button> {file.words}
            </li>
          )}
        </For>
        <li>
          <button type="button" onClick={() => copy("The link", props.page.link())}>Copy the link</button>{" "}
          All of this state, in the address alone.
        </li>
      </ul>
      <p>The same bytes in a terminal, from outage.json above:</p>
      <pre class="scroll" tabindex="0"><code>{take.commands}</code></pre>
      <p aria-live="polite">{copied()}</p>
    </div>
  )
}

const save = async ({ name, text, type }: take.File) => {
  const url = URL.createObjectURL(new Blob([await text()], { type }))
  const anchor = document.createElement("a")
  anchor.href = url
  anchor.download = name
  anchor.click()
  URL.revokeObjectURL(url)
}

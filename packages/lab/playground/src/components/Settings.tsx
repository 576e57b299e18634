/** Each part of the scenario as a form and as JSON, side by side. */
import { For, Show } from "solid-js"
import { sizeLimit } from "../drop.ts"
import type { Page } from "../page.ts"
import type { Part } from "../scenario.ts"
import { schemaOf } from "../schemas.ts"
import { Form } from "./Form.tsx"

const titles: { readonly [P in Part]: string } = {
  yours: "Your policy",
  safer: "The safer policy",
  world: "Calls, server and outage",
  saferWorld: "Calls, server and outage of the safer lane"
}

export const Settings = (props: { readonly page: Page }) => {
  const parts = (): ReadonlyArray<Part> =>
    props.page.scenario().saferWorld === undefined
      ? ["yours", "safer", "world"]
      : ["yours", "safer", "world", "saferWorld"]
  return <For each={parts()}>{(part) => <Setting page={props.page} part={part} />}</For>
}

const Setting = (props: { readonly page: Page; readonly part: Part }) => {
  const value = () => props.page.scenario()[props.part] ?? {}
  const drop = async (event: DragEvent) => {
    const file = event.dataTransfer?.files[0]
    if (file === undefined) return
    event.preventDefault()
    props.page.edit(props.part, file.size > sizeLimit ? `# ${file.name} is larger than 64 kB.` : await file.text())
  }
  return (
    <details class="setting" open={props.part === "yours"}>
      <summary>
        <h3>{titles[props.part]}</h3>
      </summary>
      <div class="sides">
        <form onSubmit={(event) => event.preventDefault()}>
          <Form
            schema={schemaOf(props.part, value())}
            value={value()}
            path={props.part}
            change={(next) => props.page.show({ ...props.page.scenario(), [props.part]: next ?? {} })}
          />
        </form>
        <div>
          <label for={`text-${props.part}`}>As JSON (or paste YAML, or drop a file)</label>
          <textarea
            id={`text-${props.part}`}
            spellcheck={false}
            autocomplete="off"
            maxlength={sizeLimit}
            rows={Math.min(30, Math.max(8, props.page.draft(props.part).split("\n").length + 1))}
            value={props.page.draft(props.part)}
            aria-describedby={`remarks-${props.part}`}
            aria-invalid={props.page.remarks(props.part).some(({ kind }) => kind === "error")}
            onInput={(event) => props.page.edit(props.part, event.currentTarget.value)}
            onDragOver={(event) => event.preventDefault()}
            onDrop={(event) => void drop(event)}
          />
          <ul class="remarks" id={`remarks-${props.part}`} aria-live="polite">
            <For each={props.page.remarks(props.part)}>
              {(remark) => (
                <li class={remark.kind}>
                  <button type="button" onClick={() => select(`text-${props.part}`, remark.line)}>
                    Line {remark.line}
                  </button>{" "}
                  {remark.text}
                </li>
              )}
            </For>
            <Show when={props.page.remarks(props.part).length === 0}>
              <li class="clean">Nothing to remark.</li>
            </Show>
          </ul>
        </div>
      </div>
    </details>
  )
}

const select = (id: string, line: number) => {
  const area = document.querySelector<HTMLTextAreaElement>(`#${id}`)
  if (area === null) return
  const lines = area.value.split("\n")
  const from = lines.slice(0, line - 1).reduce((length, text) => length + text.length + 1, 0)
  area.focus()
  area.setSelectionRange(from, from + (lines[line - 1]?.length ?? 0))
}

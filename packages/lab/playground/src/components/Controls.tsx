/** The three controls of the first screen: they change your lane, and the load of both. */
import { For } from "solid-js"
import * as knobs from "../knobs.ts"
import type { Page } from "../page.ts"

const percent = (load: number | undefined): string => load === undefined ? "–" : `${load} %`

export const Controls = (props: { readonly page: Page }) => {
  const scenario = () => props.page.scenario()
  const facts = () => props.page.run("yours")?.facts
  return (
    <form class="controls" aria-label="Yours" onSubmit={(event) => event.preventDefault()}>
      <h2>Change yours: what saves it?</h2>
      <label>
        <span>Retries</span>
        <output>{knobs.retries(scenario().yours)}</output>
        <input
          type="range"
          min="0"
          max="5"
          step="1"
          value={knobs.retries(scenario().yours)}
          onInput={(event) => props.page.show(knobs.withRetries(scenario(), event.currentTarget.valueAsNumber))}
        />
      </label>
      <label>
        <span>Retry budget</span>
        <select
          value={knobs.budget(scenario().yours)}
          onChange={(event) => props.page.show(knobs.withBudget(scenario(), event.currentTarget.value))}
        >
          <For each={knobs.budgets}>{({ name, words }) => <option value={name}>{words}</option>}</For>
        </select>
      </label>
      <label>
        <span>Calls / capacity</span>
        <output>{percent(knobs.load(scenario().world, facts()))}</output>
        <input
          type="range"
          min="1"
          max="95"
          step="1"
          value={knobs.load(scenario().world, facts())}
          disabled={knobs.load(scenario().world, facts()) === undefined}
          onInput={(event) => props.page.show(knobs.withLoad(scenario(), facts(), event.currentTarget.valueAsNumber))}
        />
      </label>
    </form>
  )
}

/** The page: two lanes, three controls, and what else there is below them. */
import { createSignal, Show } from "solid-js"
import { Compare } from "./components/Compare.tsx"
import { Controls } from "./components/Controls.tsx"
import { Lane } from "./components/Lane.tsx"
import { Settings } from "./components/Settings.tsx"
import { Stories, Told } from "./components/Stories.tsx"
import { TakeHome } from "./components/TakeHome.tsx"
import { make } from "./page.ts"
import { stories } from "./stories.ts"
import type { Story } from "./stories.ts"
import { question } from "./words.ts"

export const App = () => {
  const page = make(stories[0])
  const [chosen, setChosen] = createSignal<Story>()
  const choose = (story: Story) => {
    setChosen(story)
    page.show(story.scenario)
    document.querySelector("h1")?.scrollIntoView()
  }
  return (
    <>
      <header>
        <h1>{question(page)}</h1>
      </header>
      <main>
        <p class="notice" role="status">{page.notice()}</p>
        <Told story={chosen()} />
        <section aria-label="Two policies, the same calls" aria-busy={page.busy()}>
          <Lane page={page} lane="yours" title="Yours" />
          <Lane page={page} lane="safer" title="Safer" />
          <Show when={page.problem()}>{(problem) => <p class="problem" role="alert">{problem()}</p>}</Show>
        </section>
        <Controls page={page} />
        <Stories chosen={chosen()} choose={choose} />
        <details>
          <summary>
            <h2>All settings</h2>
          </summary>
          <Settings page={page} />
        </details>
        <details>
          <summary>
            <h2>Compare and predict</h2>
          </summary>
          <Compare page={page} />
        </details>
        <details>
          <summary>
            <h2>Take home</h2>
          </summary>
          <TakeHome page={page} />
        </details>
      </main>
      <footer>
        <p>
          The policies are the packages that you deploy, and run in this page; calls, server and time are a model. Time
          is virtual, so the same seed gives the same picture everywhere. Drop a file with a description anywhere on
          this page, and it becomes yours.
        </p>
      </footer>
    </>
  )
}

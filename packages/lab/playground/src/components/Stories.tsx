/** The stories, one idea each. */
import { createSignal, For, Show } from "solid-js"
import type { Page } from "../page.ts"
import type { Story } from "../stories.ts"
import { stories } from "../stories.ts"

export const Stories = (props: { readonly page: Page }) => {
  const [chosen, choose] = createSignal<Story>()
  return (
    <section class="stories" aria-labelledby="stories">
      <h2 id="stories">Stories</h2>
      <ol>
        <For each={stories}>
          {(story) => (
            <li>
              <button
                type="button"
                aria-pressed={chosen() === story}
                onClick={() => {
                  choose(story)
                  props.page.show(story.scenario)
                }}
              >
                {story.title}
              </button>
            </li>
          )}
        </For>
      </ol>
      <Show when={chosen()}>
        {(story) => (
          <div class="story" aria-live="polite">
            <p>{story().idea}</p>
            <p>
              <strong>The surprise:</strong> {story().surprise}
            </p>
            <p class="source">
              <cite>{story().source}</cite>. {story().figure}
            </p>
          </div>
        )}
      </Show>
    </section>
  )
}

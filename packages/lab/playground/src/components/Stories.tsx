/** The stories, one idea each. */
import { For, Show } from "solid-js"
import type { Story } from "../stories.ts"
import { stories } from "../stories.ts"

interface Props {
  readonly chosen: Story | undefined
  readonly choose: (story: Story) => void
}

export const Stories = (props: Props) => (
  <section class="stories" aria-labelledby="stories">
    <h2 id="stories">Stories</h2>
    <ol>
      <For each={stories}>
        {(story) => (
          <li>
            <button
              type="button"
              aria-pressed={props.chosen === story}
              onClick={() => props.choose(story)}
            >
              {story.title}
            </button>
          </li>
        )}
      </For>
    </ol>
  </section>
)

/** Stands above the lanes, so that what it says and what they show are seen together. */
export const Told = (props: { readonly story: Story | undefined }) => (
  <div aria-live="polite">
    <Show when={props.story}>
      {(story) => (
        <div class="story">
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
  </div>
)

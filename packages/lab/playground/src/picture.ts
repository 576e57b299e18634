/** A run as a picture on the page. */
import * as Chart from "../../src/Chart.ts"
import type { Run } from "./protocol.ts"
import { sentence } from "./words.ts"

export const picture = (run: Run, options: Chart.Options): string =>
  Chart.svg({ ...run.drawn, summary: sentence(run) }, { ...options, style: false })

/** The upper end of the axis that both lanes share. */
export const top = (runs: ReadonlyArray<Run | undefined>): number =>
  runs.flatMap((run) => run?.drawn.seconds ?? []).reduce(
    (most, { offered, sent }) => Math.max(most, offered, sent),
    Math.max(1, ...runs.map((run) => run?.facts.capacity ?? 0)) * 1.15
  )

import * as CliOutput from "effect/cli/CliOutput"
import * as Output from "./output.ts"
import * as units from "./units.ts"

/** The progress of one upload. */
export interface Item {
  readonly label: string
  readonly size: number | undefined
  readonly phase: "waiting" | "sending" | "awaitingResponse" | "pausing"
  readonly sent: number
  readonly attempts: number
  /** Why the last attempt failed. */
  readonly trouble: string | undefined
}

export interface View {
  /** The uploads that have started and not ended. */
  readonly active: ReadonlyArray<Item>
  readonly total: number
  readonly done: number
  readonly failed: number
  readonly attempts: number
  readonly startedAt: number
  /** Bytes sent since the start, including those of failed attempts. */
  readonly moved: number
}

/** The lines at the bottom of the terminal: the running uploads, then the totals. */
export const render = (view: View, now: number, columns: number): ReadonlyArray<string> => {
  const active = view.active.filter(({ phase }) => phase !== "waiting")
    .map((item) => ({ ...item, label: Output.plain(item.label) }))
  const labelWidth = Math.min(36, Math.max(0, ...active.map(({ label }) => CliOutput.displayWidth(label))))
  return [...active.map((item) => `  ${fit(item.label, labelWidth)}  ${state(item)}`), totals(view, now)]
    .map((line) => clip(line, columns - 1))
}

const state = (item: Item): string => {
  const trouble = item.trouble === undefined ? "" : `  attempt ${item.attempts}, after ${item.trouble}`
  switch (item.phase) {
    case "pausing":
      return `waiting to retry: ${item.trouble ?? ""}`
    case "awaitingResponse":
      return `${bar(1)} sent, waiting for the response${trouble}`
    default:
      return `${bar(item.size === undefined || item.size === 0 ? 0 : item.sent / item.size)} ${
        percent(item).padStart(4)
      }  ${units.bytes(item.sent)}${trouble}`
  }
}

// Only a verified response shows 100 %.
const percent = ({ sent, size }: Item): string =>
  size === undefined || size === 0 ? "" : `${Math.min(99, Math.floor(sent / size * 100))}%`

const barWidth = 20
const bar = (fraction: number): string => {
  const full = Math.round(Math.min(1, fraction) * barWidth)
  return `[${"█".repeat(full)}${"░".repeat(barWidth - full)}]`
}

const totals = ({ attempts, done, failed, moved, startedAt, total }: View, now: number): string => {
  const seconds = Math.max(0.001, (now - startedAt) / 1_000)
  return [
    `${done} of ${total} files`,
    units.bytes(moved),
    `${units.bytes(Math.round(moved / seconds))}/s`,
    `${attempts} attempt${attempts === 1 ? "" : "s"}`,
    ...(failed === 0 ? [] : [`${failed} failed`]),
    units.duration(now - startedAt)
  ].join(" · ")
}

const fit = (text: string, width: number): string => {
  const clipped = clip(text, width)
  return clipped + " ".repeat(Math.max(0, width - CliOutput.displayWidth(clipped)))
}

const clip = (text: string, width: number): string => {
  if (CliOutput.displayWidth(text) <= width) return text
  let clipped = ""
  for (const char of text) {
    if (CliOutput.displayWidth(clipped + char) > width - 1) break
    clipped += char
  }
  return `${clipped}…`
}

import * as Output from "./output.ts"
import { clip, clipName, joinFitting, padEnd, widthOf } from "./textWidth.ts"
import * as units from "./units.ts"

/** The progress of one upload. */
export interface Item {
  readonly label: string
  /** The end of the label, which is not cut off. */
  readonly tail: string
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

/**
 * The lines at the bottom of a window: the running uploads, then the totals. If there are more uploads than rows, those in
 * trouble come first, and the others are counted.
 */
export const render = (view: View, now: number, { columns, rows }: Output.Window): ReadonlyArray<string> => {
  const width = columns - 1
  const running = view.active.filter(({ phase }) => phase !== "waiting")
  // One row stays for what was printed last.
  const room = Math.max(0, rows - 2)
  const shown = running.length <= room
    ? running
    : running.toSorted((a, b) => Number(b.trouble !== undefined) - Number(a.trouble !== undefined))
      .slice(0, Math.max(0, room - 1))
  const labelled = shown.map((item) => ({ ...item, label: Output.plain(item.label) }))
  const labelWidth = Math.min(
    36,
    Math.max(20, Math.floor(width * 0.45)),
    Math.max(0, ...labelled.map(({ label }) => widthOf(label)))
  )
  const barWidth = width < 55 ? 0 : width < 75 ? 10 : 20
  const left = running.slice(shown.length)
  return [
    ...labelled.map((item) =>
      `  ${padEnd(clipName(item.label, labelWidth, item.tail), labelWidth)}  ${
        state(item, barWidth, width - labelWidth - 4)
      }`
    ),
    ...(left.length === 0 || room === 0 ? [] : [`  … and ${left.length} more`]),
    totals(view, now, width)
  ].map((line) => clip(line, width))
}

const state = (item: Item, barWidth: number, width: number): string => {
  const { attempts, phase, sent, size, trouble } = item
  const again = trouble === undefined ? [] : [`attempt ${attempts} after ${trouble}`]
  const whole = (...parts: ReadonlyArray<string>) => [...parts, ...again].filter((part) => part !== "").join("  ")
  // With little room, what is wrong matters more than how far it is.
  const short = trouble === undefined ? [] : [...again, trouble]
  switch (phase) {
    case "pausing":
      return firstThatFits(width, [`waiting to retry after ${trouble}`, `retry after ${trouble}`, `${trouble}`])
    case "awaitingResponse": {
      const waiting = "sent, waiting for the response"
      return firstThatFits(width, [
        whole(bar(1, barWidth), waiting),
        whole(waiting),
        ...short,
        waiting,
        "sent, waiting"
      ])
    }
    default: {
      const fraction = size === undefined || size === 0 ? 0 : sent / size
      const far = [percent(item).padStart(4), units.bytes(sent)] as const
      return firstThatFits(width, [whole(bar(fraction, barWidth), ...far), whole(...far), ...short, ...far])
    }
  }
}

const firstThatFits = (width: number, texts: ReadonlyArray<string>): string =>
  texts.find((text) => widthOf(text) <= width) ?? texts.at(-1) ?? ""

// Only a verified response shows 100 %.
const percent = ({ sent, size }: Item): string =>
  size === undefined || size === 0 ? "" : `${Math.min(99, Math.floor(sent / size * 100))}%`

const bar = (fraction: number, width: number): string => {
  if (width === 0) return ""
  const full = Math.round(Math.min(1, fraction) * width)
  return `[${"█".repeat(full)}${"░".repeat(width - full)}]`
}

const totals = ({ attempts, done, failed, moved, startedAt, total }: View, now: number, width: number): string => {
  const seconds = Math.max(0.001, (now - startedAt) / 1_000)
  return joinFitting(
    [
      `${done} of ${total} files`,
      failed === 0 ? undefined : `${failed} failed`,
      units.bytes(moved),
      `${units.bytes(Math.round(moved / seconds))}/s`,
      units.plural(attempts, "attempt"),
      units.duration(now - startedAt)
    ],
    width,
    [4, 3, 2, 5]
  )
}

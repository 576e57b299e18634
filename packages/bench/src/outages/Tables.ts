/** Writes the outcomes of the matrix as Markdown. */
import * as Matrix from "./Matrix.ts"
import * as policies from "./policies.ts"

type Runs = ReadonlyMap<string, ReadonlyArray<Matrix.Run>>

export const keyOf = (name: string, { abandoned, load, outage, processes }: Matrix.Cell): string =>
  [name, outage.name, abandoned, processes, load].join("|")

const begin = "<!-- outages: written by npm run outages -->"

const end = "<!-- /outages -->"

/** Puts a summary between its marks. */
export const insert = (text: string, summary: string): string => {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  return from < 0 || to < 0 ? text : `${text.slice(0, from)}${begin}\n\n${summary}\n\n${text.slice(to)}`
}

export const report = (runs: Runs, date: string) => {
  const short = Matrix.cells.filter(({ outage }) => outage === Matrix.outages[0])
  const names = Object.keys(policies.ours)
  const standard = names[0] ?? ""
  const peers = table(
    ["down for 10 s", ...summaryColumns],
    [standard, ...Object.keys(policies.peers)].map((name) => [name, ...summaryOf(runs, name, short)])
  )
  const rules = table(
    ["all outages", ...summaryColumns],
    Object.entries(policies.rules).map(([name, policy]) => [
      name,
      ...summaryOf(runs, policy === policies.ours["`Pipeline.standard`"] ? standard : name, Matrix.cells)
    ])
  )
  const page = `# Outages

Written by \`npm run outages\` on ${date}. Nothing here depends on the machine: the seeds are fixed and time is virtual.

A server with 20 workers serves a request in 100 ms on average (exponential), so 200 a second. Its queue is a FIFO without an end, which
serves requests whose callers have gone (_serve_) or drops them when their turn comes (_drop_). Calls come as a Poisson process from 1,
20 or 100 processes, at 50, 70 or 90 % of the capacity; an attempt is given up after 1 second. After a minute, something
happens to the server. Three seeds for each cell; a cell shows the worst of them.

Asked are at most ${Matrix.amplification} requests for each call while the outage lasts, and 95 % of the calls succeeding within 30 seconds of its
end (60 after the outage of 3 minutes).

## \`Pipeline.standard\`

Requests for each call, and the seconds until calls succeed again. **Bold** is not within what is asked.

${standardTable(runs, standard)}

**What the capacity forbids.** No client knows of an outage before its first attempt has timed out. Until then ${Matrix.timeoutSeconds} second of
calls is in the queue, and a server that serves the dead works it off with what it has to spare: ${
    Matrix.loads.map((load) => `${Matrix.leastRecovery(load).toFixed(1)} s at ${load * 100} %`).join(", ")
  }. All of that is less than what is asked, so no cell is forbidden.

## What others do by default

Their defaults written as descriptions of pipelines (\`packages/bench/src/outages/policies.ts\`), with the same limit of 1 second for an attempt.
cockatiel has no defaults: its row is the first example of its readme.
_Lost_ are calls that did not succeed, from the beginning of the outage to 90 seconds after its end.

${peers}

## Where two rules compete

Each in the place of the breaker of \`Pipeline.standard\`, or beside it, in all cells, with one seed (the standard has three).

A retry waits for an open circuit, as long as that says, so all calls that waited come at once when it closes: that is why the rules
that open do worse here than cockatiel's do above, where the retry gives up. Tried by hand with one seed: with
\`maxRetryAfter: 0\` and an \`openDuration\` of 2 seconds \`consecutive\` passes all cells too, and loses as few calls as
\`proportional\`; with the default \`openDuration\` it passes 64.

${rules}
`
  return { page, summary: peers }
}

const summaryColumns = ["cells passed", "most requests for a call", "slowest recovery", "lost"]

const summaryOf = (runs: Runs, name: string, cells: ReadonlyArray<Matrix.Cell>): ReadonlyArray<string> => {
  const all = cells.flatMap((cell) => (runs.get(keyOf(name, cell)) ?? []).map((run) => ({ cell, run })))
  const passed = cells.filter((cell) => (runs.get(keyOf(name, cell)) ?? []).every((run) => Matrix.passes(run, cell)))
  const sum = (f: (run: Matrix.Run) => number) => all.reduce((total, { run }) => total + f(run), 0)
  return [
    `${passed.length} of ${cells.length}`,
    Math.max(...all.map(({ run }) => run.amplification)).toFixed(2),
    worstRecovery(all.map(({ run }) => run)),
    `${(100 * sum(({ lost }) => lost) / sum(({ offered }) => offered)).toFixed(1)} %`
  ]
}

const worstRecovery = (runs: ReadonlyArray<Matrix.Run>): string =>
  runs.some(({ recovery }) => recovery === null)
    ? "never"
    : `${Math.max(...runs.map(({ recovery }) => recovery ?? 0))} s`

const standardTable = (runs: Runs, name: string): string =>
  table(
    ["", "server", ...Matrix.fleets.flatMap((n) => Matrix.loads.map((load) => `${n} × ${load * 100} %`))],
    Matrix.outages.flatMap((outage) =>
      Matrix.servers.map((abandoned) => [
        outage.name,
        abandoned,
        ...Matrix.fleets.flatMap((processes) =>
          Matrix.loads.map((load) => {
            const cell = { outage, abandoned, processes, load }
            const all = runs.get(keyOf(name, cell)) ?? []
            const text = `${Math.max(...all.map(({ amplification }) => amplification)).toFixed(2)} · ${
              worstRecovery(all)
            }`
            return all.every((run) => Matrix.passes(run, cell)) ? text : `**${text}**`
          })
        )
      ])
    )
  )

const table = (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(3, ...all.map((row) => row[column]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`
  return [line(header), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join("\n")
}

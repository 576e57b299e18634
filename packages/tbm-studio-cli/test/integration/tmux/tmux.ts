import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { execFileSync } from "node:child_process"

export interface Tmux {
  /** What was printed, with what scrolled out at the top. Empty lines at the end are left out. */
  readonly screen: Effect.Effect<ReadonlyArray<string>>
  /** The same, with lines that the terminal broke put together again. */
  readonly unbroken: Effect.Effect<ReadonlyArray<string>>
  /** The screen as soon as it is like this. */
  readonly until: (
    what: string,
    isSo: (lines: ReadonlyArray<string>) => boolean
  ) => Effect.Effect<ReadonlyArray<string>>
  readonly resize: (columns: number, rows: number) => Effect.Effect<void>
  readonly press: (key: string) => Effect.Effect<void>
}

let servers = 0

/** Runs a line of a shell in a terminal of this size. It prints `ENDED` and the exit status at its end. */
export const run = (
  line: string,
  { columns, cwd, env = {}, rows = 24 }: {
    readonly columns: number
    readonly rows?: number
    readonly cwd: string
    readonly env?: Record<string, string>
  }
) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const socket = `tbm-studio-test-${process.pid}-${servers++}`
        const tmux = (...args: ReadonlyArray<string>) =>
          execFileSync("tmux", ["-u", "-L", socket, "-f", "/dev/null", ...args], { cwd, encoding: "utf8" })
        // Set by the shell, as tmux sets TERM.
        const settings = Object.entries(env).map(([name, value]) => `export ${name}='${value}'; `).join("")
        const size = ["-x", `${columns}`, "-y", `${rows}`]
        // The shell waits at its end, so that the screen stays.
        tmux("new-session", "-d", ...size, `${settings}${line}; echo ENDED $?; read -r _`)
        return tmux
      }),
      (tmux) => Effect.sync(() => tmux("kill-server"))
    ),
    (tmux): Tmux => {
      const capture = (...how: ReadonlyArray<string>) =>
        Effect.sync(() =>
          tmux("capture-pane", "-p", "-S", "-", ...how).trimEnd().split("\n").map((line) => line.trimEnd())
        )
      const screen = capture()
      return {
        screen,
        unbroken: capture("-J"),
        until: (what, isSo) =>
          screen.pipe(
            Effect.flatMap((lines) =>
              isSo(lines) ? Effect.succeed(lines) : Effect.fail(new Error(`Not ${what}:\n${lines.join("\n")}`))
            ),
            Effect.retry(Schedule.upTo(Schedule.spaced("50 millis"), { duration: "20 seconds" })),
            Effect.orDie
          ),
        resize: (columns, rows) => Effect.sync(() => void tmux("resize-window", "-x", `${columns}`, "-y", `${rows}`)),
        press: (key) => Effect.sync(() => void tmux("send-keys", key))
      }
    }
  )

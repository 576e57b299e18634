import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"

/** The flags that all commands have, besides Effect's own `--help`, `--version`, `--completions` and `--log-level`. */
export const Json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(
    Flag.withDescription("Print one JSON document on standard output, and nothing else there"),
    Flag.withDefault(false)
  )
})

export const LogFormat = GlobalFlag.Setting("log-format")({
  flag: Flag.Literals("log-format", ["pretty", "json"]).pipe(
    Flag.withDescription("How log lines look on standard error"),
    Flag.withDefault("pretty")
  )
})

export const AccessLogFile = GlobalFlag.Setting("access-log")({
  flag: Flag.String("access-log").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Append one JSON line for each HTTP attempt and call to this file"),
    Flag.optional
  )
})

export const Notify = GlobalFlag.Setting("notify")({
  flag: Flag.String("notify").pipe(
    Flag.withMetavar("PROGRAM"),
    Flag.withDescription("Run this program if the command fails, with its JSON document as standard input"),
    Flag.optional
  )
})

export const all = [Json, LogFormat, AccessLogFile, Notify] as const

/** Whether these arguments ask for JSON, also if they are wrong otherwise and the command never runs. */
export const asksForJson = (args: ReadonlyArray<string>): boolean => {
  const end = args.indexOf("--")
  const flags = end < 0 ? args : args.slice(0, end)
  return flags.reduce((asked, arg, at) => {
    if (arg === "--json") return !isFalse(flags[at + 1])
    if (arg.startsWith("--json=")) return !isFalse(arg.slice("--json=".length))
    return arg === "--no-json" ? false : asked
  }, false)
}

// What a flag that is true or false takes for false.
const isFalse = (value: string | undefined): boolean => value !== undefined && /^(false|no|off|0|n)$/.test(value)

import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Output from "./output.ts"

/** Writes logs to standard error. */
export const layer = (format: "pretty" | "json"): Layer.Layer<never> =>
  Logger.layer([Logger.withConsoleError(format === "json" ? Logger.map(Logger.formatJson, Output.escaped) : pretty)])

const pretty = Logger.map(Logger.formatStructured, (entry) => {
  const messages = Array.isArray(entry.message) ? entry.message : [entry.message]
  const annotations = Object.entries(entry.annotations).map(([key, value]) => `${key}=${show(value)}`)
  const cause = entry.cause === undefined ? [] : [entry.cause]
  return [entry.timestamp.slice(11, 23), entry.level.padEnd(5), ...messages.map(show), ...annotations, ...cause]
    .join(" ")
    // Indents further lines of a message or a cause, so that they do not look like log lines.
    .replace(/\r\n|[\r\n\u0085\u2028\u2029]/g, "\n    ")
})

const show = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value)

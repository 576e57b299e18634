import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"

/** Logs go to standard error, without any secret that somebody registered. */
export const layer = (format: "pretty" | "json"): Layer.Layer<never> =>
  Layer.unwrap(Effect.map(Scrubber.Current, ({ scrub }) =>
    Logger.layer([
      Logger.withConsoleError(Logger.map(format === "json" ? Logger.formatJson : pretty, scrub))
    ])))

const pretty = Logger.map(Logger.formatStructured, (entry) => {
  const messages = Array.isArray(entry.message) ? entry.message : [entry.message]
  const annotations = Object.entries(entry.annotations).map(([key, value]) => `${key}=${show(value)}`)
  const cause = entry.cause === undefined ? [] : [entry.cause]
  return [entry.timestamp.slice(11, 23), entry.level.padEnd(5), ...messages.map(show), ...annotations, ...cause].join(
    " "
  )
})

const show = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value)

import * as Recovery from "@effect-resilience/errors/Recovery"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as Connections from "@effect-resilience/node/Connections"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import { Frontdoor } from "@effect-resilience/tbm-studio/Frontdoor"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import { TableUploads } from "@effect-resilience/tbm-studio/TableUploads"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as TokenFile from "../TokenFile.ts"
import * as KeyFiles from "./keyFiles.ts"
import { AccessLogFile } from "./options.ts"
import * as words from "./words.ts"

/** An option is invalid. The message names it. */
export class InvalidOption extends Data.TaggedError("InvalidOption")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
}

/** An input file cannot be used. The message says why. */
export class InvalidInput extends Data.TaggedError("InvalidInput")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
}

/** An output file cannot be written, for a reason other than its name. */
export class CannotWrite extends Data.TaggedError("CannotWrite")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

/** Provides all services of a command, from its settings to the socket. */
export const provideStudio = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provide(
    effect,
    studio.pipe(
      Layer.provide(sharedTokens),
      Layer.provideMerge(Layer.provide(Settings.layer, KeyFiles.layer)),
      Layer.provideMerge(accessLog)
    )
  )

/** The access log, if the command has its flag. */
export const accessLog = Layer.unwrap(
  Effect.map(AccessLogFile, Option.match({ onNone: () => Layer.empty, onSome: (path) => writeTo(path) }))
)

const proxyOfEnvironment: Effect.Effect<Connections.Proxy> = Effect.orElseSucceed(
  Connections.proxyFromEnvironment,
  () => ({})
)

// Plain http is used only with this machine, and a proxy could read it.
const thisMachine = ["localhost", "127.0.0.1", "::1"]

/**
 * The login and the tables of one TBM Studio, over bounded connections, the proxy of the environment, and one budget for all
 * retries.
 */
export const studio = TableUploads.layer.pipe(
  Layer.provideMerge(Frontdoor.layer),
  Layer.provideMerge(AttemptBudget.layer({ name: "tbm-studio" })),
  Layer.provideMerge(Layer.unwrap(Effect.map(proxyOfEnvironment, (proxy) =>
    Connections.layer({
      headersTimeout: "10 minutes",
      proxy: { ...proxy, noProxy: [proxy.noProxy ?? "", ...thisMachine].join(",") }
    }))))
)

// With TBM_TOKEN_CACHE=file, commands share the token on disk. Otherwise each command logs in.
const sharedTokens = Layer.unwrap(Effect.gen(function*() {
  const paths = yield* Path.Path
  const setting = (name: string) =>
    Effect.orElseSucceed(Config.option(Config.String(name)), () => Option.none<string>())
  const wanted = Option.getOrElse(yield* setting("TBM_TOKEN_CACHE"), () => "none")
  if (wanted === "none" || wanted === "") return Layer.empty
  if (wanted !== "file") {
    return yield* new InvalidOption({
      message: `TBM_TOKEN_CACHE is ${JSON.stringify(wanted)}: use file to share the token on disk, or none.`
    })
  }
  const home = Option.getOrElse(yield* setting("HOME"), () => ".")
  const cache = Option.getOrElse(yield* setting("XDG_CACHE_HOME"), () => paths.join(home, ".cache"))
  const path = paths.join(cache, "tbm-studio", "tokens.sqlite")
  return failAs(TokenFile.layer(path), (error) => {
    const rejected = error._tag === "PlatformError" && error.reason.module === "TokenFile"
    return rejected
      ? `TBM_TOKEN_CACHE=file: ${
        paths.dirname(path)
      } cannot be trusted: ${error.reason.description}. Make it your own, and run chmod 700 on it.`
      : `TBM_TOKEN_CACHE=file: ${path} cannot be opened. Delete it, or leave TBM_TOKEN_CACHE out.`
  })
}))

const writeTo = (path: string) =>
  failAs(
    AccessLog.layerFile(path),
    (error) => `--access-log ${path} cannot be written: ${words.ofSystem(error.reason)}.`
  )

/** The layer, with its failure as an invalid option. */
export const failAs = <A, E, R>(layer: Layer.Layer<A, E, R>, message: (error: E) => string) =>
  Layer.effectContext(Effect.mapError(Layer.build(layer), (error) => new InvalidOption({ message: message(error) })))

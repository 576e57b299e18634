import * as Recovery from "@effect-resilience/errors/Recovery"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Settings } from "../Settings.ts"
import * as TbmStudio from "../TbmStudio.ts"
import { AccessLogFile } from "./options.ts"

/** An option makes no sense; the message names it. */
export class InvalidOption extends Data.TaggedError("InvalidOption")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
}

/** Provides a command with everything between its settings and the socket. */
export const provideStudio = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, studio.pipe(Layer.provideMerge(Settings.layer), Layer.provideMerge(accessLog)))

/** The access log, where a flag of the command asks for it. */
export const accessLog = Layer.unwrap(
  Effect.map(AccessLogFile, Option.match({ onNone: () => Layer.empty, onSome: (path) => writeTo(path) }))
)

/** The services of one TBM Studio, over Node's fastest client. */
export const studio = TbmStudio.layer.pipe(
  Layer.provideMerge(NodeHttpClient.layerUndiciOptions({
    connect: { timeout: 10_000 },
    keepAliveTimeout: 4_000,
    connections: 64
  }))
)

const writeTo = (path: string) =>
  Effect.mapError(
    AccessLog.layerFile(path).pipe(Layer.build),
    (error) => new InvalidOption({ message: `--access-log ${path} cannot be written: ${error.reason._tag}.` })
  ).pipe(Layer.effectContext)

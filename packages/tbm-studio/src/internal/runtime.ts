import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Settings } from "../Settings.ts"
import * as TbmStudio from "../TbmStudio.ts"
import * as logging from "./logging.ts"
import { AccessLogFile, LogFormat } from "./options.ts"

/** An option makes no sense; the message names it. */
export class InvalidOption extends Data.TaggedError("InvalidOption")<{ readonly message: string }> {}

/** Provides a command with everything between its settings and the socket. */
export const provideStudio = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, studio.pipe(Layer.provideMerge(Settings.layer), Layer.provideMerge(output)))

/** Logs and the access log, as the flags of the command say. */
export const output = Layer.unwrap(Effect.gen(function*() {
  const format = yield* LogFormat
  const file = yield* AccessLogFile
  return Layer.mergeAll(logging.layer(format), Option.match(file, { onNone: () => Layer.empty, onSome: accessLog }))
}))

/** The services of one TBM Studio, over Node's fastest client. */
export const studio = TbmStudio.layer.pipe(
  Layer.provideMerge(NodeHttpClient.layerUndiciOptions({
    connect: { timeout: 10_000 },
    keepAliveTimeout: 4_000,
    connections: 64
  }))
)

const accessLog = (path: string) =>
  Effect.mapError(
    AccessLog.layerFile(path).pipe(Layer.build),
    (error) => new InvalidOption({ message: `--access-log ${path} cannot be written: ${error.reason._tag}.` })
  ).pipe(Layer.effectContext)

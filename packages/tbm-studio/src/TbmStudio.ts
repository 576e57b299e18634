/**
 * TBM Studio as one layer: the login, the environment and the uploads, over any `HttpClient`.
 *
 * **Details**
 *
 * Each part is a service of its own (`Settings`, `Frontdoor`, `TableUploads`, `UploaderService`), so a program can combine
 * them itself and replace one.
 *
 * **Example** (A program's layer)
 *
 * ```ts
 * import { TbmStudio } from "@effect-resilience/tbm-studio"
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 *
 * const live = TbmStudio.layerConfig.pipe(Layer.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @stability rests on effect/FileSystem, effect/http
 * @since 0.1.0
 */
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import { Frontdoor } from "./Frontdoor.ts"
import { type InvalidSettings, Settings } from "./Settings.ts"
import { TableUploads } from "./TableUploads.ts"
import { UploaderService } from "./UploaderService.ts"

/**
 * The services of the TBM Studio that the settings name.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<
  TableUploads | UploaderService | Frontdoor,
  never,
  Settings | HttpClient.HttpClient
> = Layer.mergeAll(TableUploads.layer, UploaderService.layer).pipe(Layer.provideMerge(Frontdoor.layer))

/**
 * `layer` with the settings of the environment.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<
  TableUploads | UploaderService | Frontdoor | Settings,
  InvalidSettings,
  HttpClient.HttpClient
> = Layer.provideMerge(layer, Settings.layer)

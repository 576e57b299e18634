import { type Dispatcher, errors } from "@effect/platform-node/Undici"
import * as Http2Streams from "./http2Streams.ts"

type Handler = Dispatcher.DispatchHandler
type Controller = Dispatcher.DispatchController

/**
 * The requests that connections of HTTP/2 carry. undici (8.12, 8.13) does not fail them when their pool is destroyed, but asserts in a
 * listener of the socket that there are none: the process ends by it, or `destroy` waits for ever.
 */
export class RunningRequests {
  private readonly running = new Set<Observed>()

  observe(handler: Handler): Handler {
    return new Observed(handler, this.running)
  }
  /** Fails them all, once their pools are being destroyed and nothing new can start. */
  fail(): void {
    const reason = new errors.ClientDestroyedError()
    for (const request of this.running) request.abort(reason)
  }
}

class Observed implements Handler {
  private readonly handler: Handler
  private readonly running: Set<Observed>
  private controller: Controller | undefined = undefined

  constructor(handler: Handler, running: Set<Observed>) {
    this.handler = handler
    this.running = running
  }
  abort(reason: Error): void {
    this.controller?.abort(reason)
  }
  onRequestStart(controller: Controller, context: unknown): void {
    this.controller = controller
    this.running.add(this)
    this.handler.onRequestStart?.(controller, context)
    Http2Streams.start(this.handler)
  }
  onBodySent(chunk: Buffer): void {
    this.handler.onBodySent?.(chunk)
  }
  onRequestSent(): void {
    this.handler.onRequestSent?.()
  }
  onRequestUpgrade(...args: Parameters<NonNullable<Handler["onRequestUpgrade"]>>): void {
    this.running.delete(this)
    this.handler.onRequestUpgrade?.(...args)
  }
  onResponseStart(...args: Parameters<NonNullable<Handler["onResponseStart"]>>): void {
    this.handler.onResponseStart?.(...args)
  }
  onResponseData(controller: Controller, chunk: Buffer): void {
    this.handler.onResponseData?.(controller, chunk)
  }
  onResponseEnd(...args: Parameters<NonNullable<Handler["onResponseEnd"]>>): void {
    this.running.delete(this)
    this.handler.onResponseEnd?.(...args)
  }
  onResponseError(controller: Controller, error: Error): void {
    this.running.delete(this)
    this.handler.onResponseError?.(controller, error)
  }
}

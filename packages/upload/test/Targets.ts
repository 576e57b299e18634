import { ApiError } from "@effect-resilience/errors"
import { UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { Duration, Effect, Stream } from "effect"

export const failure = (status: number, retryAfterSeconds?: number): ApiError.ApiError =>
  new ApiError.ApiError({
    method: "POST",
    endpoint: "/x",
    reason: ApiError.reasonFromStatus(status, {
      retryAfter: retryAfterSeconds === undefined ? undefined : Duration.seconds(retryAfterSeconds)
    })
  })

export interface Item {
  readonly name: string
  readonly key?: string
  readonly idempotent?: boolean
}

/** A target without a network: `send` says what happens before the bytes of an item are read. */
export const make = <E = never>(
  send: (item: Item, payload: UploadTarget.Payload) => Effect.Effect<void, E> = () => Effect.void
): UploadTarget.UploadTarget<Item, string, E> => ({
  method: "POST",
  operation: ({ idempotent = true }) => ({ name: "put", endpoint: "/x", idempotent }),
  source: ({ name }) => UploadSource.bytes(name, `content of ${name}`),
  key: ({ key, name }) => key ?? name,
  digests: [],
  send: (item, payload) =>
    Effect.gen(function*() {
      yield* send(item, payload)
      yield* Stream.runDrain(payload.stream)
      return { receipt: item.name }
    })
})

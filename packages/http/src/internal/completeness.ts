import * as Transport from "@effect-resilience/errors/Transport"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Pull from "effect/Pull"

type Response = HttpClientResponse.HttpClientResponse

/** Whether a response has no body, whatever its headers say. */
export const isBodiless = ({ request, status }: Response): boolean =>
  status === 204 || status === 205 || status === 304 || request.method === "HEAD"

/**
 * How many bytes a reader of the body gets, if the headers say so. `fetch` unpacks a body but keeps the length of the packed
 * one, and a page that asks another origin may see the length but not that it was packed.
 */
export const announced = (response: Response): number | undefined => {
  const { headers } = response
  const length = headers["content-length"]
  if (length === undefined || headers["transfer-encoding"] !== undefined || !/^\d+$/.test(length)) return undefined
  const encoding = headers["content-encoding"]
  if (encoding !== undefined && encoding !== "identity") return undefined
  return isBodiless(response) || isForeign(response) ? undefined : Number(length)
}

const isForeign = (response: Response): boolean => {
  const { location } = globalThis
  return location !== undefined && URL.canParse(response.url) && new URL(response.url).origin !== location.origin
}

/** Fails where fewer bytes came than the headers announced. */
export const check = (response: Response, received: number): HttpClientError.HttpClientError | undefined => {
  const expected = announced(response)
  return expected === undefined || received >= expected ? undefined : incomplete(response, received, expected)
}

/** The same pieces, which end only where all bytes came. A response without a body has none. */
export const complete = <A extends ReadonlyArray<Uint8Array>, E, R>(
  response: Response,
  pull: Pull.Pull<A, HttpClientError.HttpClientError, void, R>,
  mapError: (error: HttpClientError.HttpClientError) => E
): Pull.Pull<A, E, void, R> => {
  const expected = announced(response) ?? 0
  let received = 0
  return Pull.matchEffect(pull, {
    onSuccess: (pieces) => {
      for (const piece of pieces) received += piece.length
      return Effect.succeed(pieces)
    },
    onFailure: (cause): Pull.Pull<never, E> =>
      isEmptyBody(cause) ? Cause.done() : Effect.failCause(Cause.map(cause, (error) => mapError(asBroken(error)))),
    onDone: (): Pull.Pull<never, E> =>
      received >= expected ? Cause.done() : Effect.fail(mapError(incomplete(response, received, expected)))
  })
}

const isEmptyBody = (cause: Cause.Cause<HttpClientError.HttpClientError>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error.reason._tag === "EmptyBodyError")

const incomplete = (response: Response, received: number, expected: number): HttpClientError.HttpClientError =>
  broken(response, `after ${received} of ${expected} bytes`)

/** Reading bytes decodes nothing. Where it fails for a reason that is not known, the body broke off: the errors of browsers have no code. */
export const asBroken = (error: HttpClientError.HttpClientError): HttpClientError.HttpClientError => {
  const { reason } = error
  if (reason._tag !== "DecodeError") return error
  const { code, kind } = Transport.diagnose(reason.cause)
  return kind === "unknown" && code === undefined ? broken(reason.response, "midway") : error
}

/** The error of a body that broke off. */
export const broken = (response: Response, detail: string): HttpClientError.HttpClientError => {
  const transmission: Transport.Transmission = { reached: "all", kind: "reset", detail }
  const cause = Object.assign(new Error("The response broke off."), { [Transport.TransmissionId]: transmission })
  return undecodable(response, cause)
}

/** The error of a body that cannot be read. */
export const undecodable = (response: Response, cause: unknown): HttpClientError.HttpClientError =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.DecodeError({ request: response.request, response, cause })
  })

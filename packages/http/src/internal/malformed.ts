import * as ErrorBody from "@effect-resilience/errors/ErrorBody"

/** What a text that was to be JSON is instead, for an `UndecodableResponse`. */
export interface Malformed {
  readonly got: string
  readonly remedy: string | undefined
}

export const malformed = (text: string): Malformed =>
  /^\s*[{[]/.test(text)
    ? { got: "malformed JSON", remedy: "The response was cut off or changed on its way, or the API is at fault." }
    : { got: ErrorBody.describe(ErrorBody.parse(text).kind), remedy: undefined }

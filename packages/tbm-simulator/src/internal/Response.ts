/** The response to a call: a status, headers, and a body that fits in memory. */
import type * as SimulatorOptions from "../SimulatorOptions.ts"

export interface Response {
  readonly status: number
  readonly headers: { readonly [name: string]: string | ReadonlyArray<string> }
  readonly body: string | Uint8Array
}

export const json = (status: number, body: unknown, headers?: Response["headers"]): Response => ({
  status,
  headers: { "content-type": "application/json;charset=UTF-8", ...headers },
  body: JSON.stringify(body)
})

export const html = (status: number, title: string, content: string): Response => ({
  status,
  headers: { "content-type": "text/html;charset=UTF-8" },
  body: `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body>${content}</body></html>\n`
})

export const failure = (
  settings: SimulatorOptions.Settings,
  status: number,
  message: string,
  headers?: Response["headers"]
): Response => json(status, { [settings.errorField]: message }, headers)

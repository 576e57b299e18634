/** Whether an error code of OAuth rejects the credentials for good or is transient; `undefined` for any other code. */
export const judgeCode = (code: string | undefined): "credentials" | "transient" | undefined =>
  code === undefined || !Object.hasOwn(codes, code) ? undefined : codes[code]

// RFC 6749, sections 5.2 and 4.1.2.1; RFC 8628, section 3.5.
const codes: { readonly [code: string]: "credentials" | "transient" } = {
  invalid_client: "credentials",
  invalid_grant: "credentials",
  unauthorized_client: "credentials",
  temporarily_unavailable: "transient",
  server_error: "transient",
  slow_down: "transient",
  authorization_pending: "transient"
}

import { ErrorBody, ForeignText } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const message = (body: string, contentType?: string) => ErrorBody.parse(body, { contentType }).message

describe("ErrorBody", () => {
  it("finds the message in all places where APIs put it", () => {
    const shapes = [
      `{"message":"no such table"}`,
      `{"Message":"no such table"}`,
      `{"error":"no such table"}`,
      `{"error":{"message":"no such table"}}`,
      `{"error":{"code":5,"message":"no such table"},"ok":false}`,
      `{"error_description":"no such table","error":"invalid_request"}`,
      `{"errors":["no such table"]}`,
      `{"errors":[{"detail":"no such table"}]}`,
      `[{"message":"no such table"}]`,
      `["no such table"]`,
      `"no such table"`,
      `no such table`,
      `  {"message": "no such\\n  table"}  `,
      `\ufeff{"message":"no such table"}`,
      `<html><head><title>no such table</title></head></html>`,
      `<!DOCTYPE html><H1 class="x">no such table</H1>`
    ]
    for (const shape of shapes) assert.strictEqual(message(shape), "no such table", shape)
  })

  it("looks for the message three objects deep, no deeper", () => {
    const nested = (depth: number): string => depth === 0 ? "{\"message\":\"deep\"}" : `{"error":${nested(depth - 1)}}`
    assert.strictEqual(message(nested(2)), "deep")
    assert.isUndefined(message(nested(3)))
    // What has no message of its own does not hide the next one.
    assert.strictEqual(message(`{"message":" ","error":{},"title":"no such table"}`), "no such table")
  })

  it("distinguishes a problem document from other JSON, and keeps codes", () => {
    const problem = `{"type":"about:blank","title":"Bad","detail":"no such table","status":404}`
    assert.deepStrictEqual(ErrorBody.parse(problem), { kind: "problem", message: "no such table", truncated: false })
    assert.strictEqual(ErrorBody.parse(`{"title":"Bad"}`, { contentType: "application/problem+json" }).kind, "problem")
    assert.strictEqual(ErrorBody.parse(`{"error":{"code":"E42","message":"x"}}`).code, "E42")
    assert.strictEqual(ErrorBody.parse(`{"code":42}`).code, "42")
    const oauth = `{"error":"invalid_client","error_description":"the secret has expired"}`
    assert.deepInclude(ErrorBody.parse(oauth), { code: "invalid_client", message: "the secret has expired" })
    assert.isUndefined(ErrorBody.parse(`{"error":"the secret has expired"}`).code)
  })

  it("decodes the entities of HTML and prefers the text to its label", () => {
    assert.strictEqual(message("<title>A &amp; B &lt;C&gt; &constructor;</title>"), "A & B <C> &constructor;")
    assert.strictEqual(ErrorBody.parse(`{"message":"x"}`, { contentType: "text/html" }).kind, "json")
    assert.strictEqual(ErrorBody.parse("gateway down", { contentType: "Text/HTML" }).kind, "html")
  })

  it("reads the XML of S3, Google Cloud Storage, Azure and SOAP", () => {
    const head = `<?xml version="1.0" encoding="UTF-8"?>\n`
    const bodies: ReadonlyArray<readonly [string, string, string]> = [
      [
        `${head}<Error><Code>NoSuchKey</Code><Message>The key &quot;a&quot; does not exist.</Message><Key>a</Key></Error>`,
        "The key \"a\" does not exist.",
        "NoSuchKey"
      ],
      [
        `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>` +
        `<Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`,
        "Rate exceeded",
        "Throttling"
      ],
      [
        `\ufeff${head}<Error><Code>BlobNotFound</Code><Message>The specified blob does not exist.\nRequestId:1</Message></Error>`,
        "The specified blob does not exist. RequestId:1",
        "BlobNotFound"
      ],
      [`${head}<Error><Code>AccessDenied</Code><Details>No billing.</Details></Error>`, "No billing.", "AccessDenied"],
      [
        `<soap:Envelope xmlns:soap="x"><soap:Body><soap:Fault><faultcode>soap:Server</faultcode>` +
        `<faultstring><![CDATA[It broke]]></faultstring></soap:Fault></soap:Body></soap:Envelope>`,
        "It broke",
        "soap:Server"
      ]
    ]
    for (const [body, message, code] of bodies) {
      assert.deepStrictEqual(ErrorBody.parse(body), { kind: "xml", message, code, truncated: false })
    }
    assert.deepStrictEqual(ErrorBody.parse(`${head}<!DOCTYPE html><html><title>502</title>`).kind, "html")
    assert.deepStrictEqual(ErrorBody.parse(`${head}<a/>`), { kind: "xml", truncated: false })
  })

  it("knows empty and binary bodies", () => {
    assert.deepStrictEqual(ErrorBody.parse(""), { kind: "empty", truncated: false })
    assert.deepStrictEqual(ErrorBody.parse(" \r\n\t"), { kind: "empty", truncated: false })
    assert.strictEqual(ErrorBody.parse(new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])).kind, "binary")
  })

  it("reads no more than its limit, and finds the message there", () => {
    const huge = `{"message":"disk full","dump":"${"x".repeat(ErrorBody.maxBytes * 4)}"}`
    assert.deepStrictEqual(ErrorBody.parse(huge), { kind: "json", message: "disk full", truncated: true })
    const text = ErrorBody.parse("y".repeat(ErrorBody.maxBytes * 2))
    assert.strictEqual(text.truncated, true)
    // Cut within a later field, and right after the message.
    for (const rest of ["", ",\"trace\":\"at L", "}"]) {
      assert.strictEqual(ErrorBody.parse(`{"status":500,"message":"disk full"${rest}`).message, "disk full")
    }
    // Text that only looks like a message.
    const quotes = ErrorBody.parse("{\"error\":\"".repeat(6500))
    assert.strictEqual(quotes.kind, "text")
    assert.match(quotes.message ?? "", /^(\{"error":"){10}/)
    assert.strictEqual(text.message?.length, ErrorBody.maxMessageLength)
  })

  it("does not take a text for binary if the limit cuts a character in two", () => {
    const bytes = new TextEncoder().encode(`a${"é".repeat(ErrorBody.maxBytes)}`)
    assert.strictEqual(ErrorBody.parse(bytes).kind, "text")
    assert.strictEqual(ErrorBody.parse(new TextEncoder().encode("é").subarray(0, 1), { truncated: true }).kind, "empty")
  })

  it("keeps a message to one printable line", () => {
    assert.strictEqual(message(`{"message":"a\\u001b[31mb\\u0007\\r\\nc\\u202ed"}`), "a [31mb c d")
  })

  it("is quick with hostile bodies", () => {
    const hostile = [
      "[".repeat(60_000),
      `{"a":`.repeat(12_000),
      "<title".repeat(10_000),
      "<h1 ".repeat(15_000),
      `"message"${" ".repeat(60_000)}`,
      `{"message":"${"\\\\".repeat(30_000)}`,
      `{${`"message" : "`.repeat(5_000)}`,
      "&amp;".repeat(12_000),
      `<?xml ${"<Message".repeat(8_000)}`,
      `<Error>${"<Message ".repeat(7_000)}`,
      `<Error>${"<a:".repeat(20_000)}`,
      `<Error>${`<Message>${" ".repeat(4_000)}`.repeat(15)}`
    ]
    const start = process.cpuUsage()
    for (const body of hostile) ErrorBody.parse(body)
    assert.isBelow(process.cpuUsage(start).user / 1000, 1000)
  })

  it.prop("reads anything without throwing, into one line", [Schema.String], ([body]) => {
    const { message } = ErrorBody.parse(body)
    assert.isFalse(message !== undefined && (message === "" || /[\r\n]/.test(message)))
  })

  it.prop("reads back any message that JSON can carry", [Schema.String], ([text]) => {
    const expected = ForeignText.oneLine(text)
    assert.strictEqual(message(JSON.stringify({ message: text })), expected === "" ? undefined : expected)
  })
})

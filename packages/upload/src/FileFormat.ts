/**
 * Recognises files that are no text, or text in another form than expected, by their first bytes.
 *
 * **Why**
 *
 * A workbook that is named `.csv`, or a login page that was saved in its place, fails on the server with a message about its
 * first column. The first bytes show what it is.
 *
 * **Example** (A workbook)
 *
 * ```ts import.meta.vitest
 * import { FileFormat } from "@effect-resilience/upload"
 *
 * FileFormat.of(new TextEncoder().encode("<!DOCTYPE html>\n<title>Log in</title>")) // => "html"
 * FileFormat.of(new TextEncoder().encode("Account,Amount\n")) // => undefined
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
/**
 * A format that is not CSV, recognised by the first bytes.
 *
 * - `xlsx`, `xls`: a workbook of Excel.
 * - `ods`: a spreadsheet of LibreOffice.
 * - `zip`, `gzip`, `pdf`, `html`, `xml`: what the name says.
 * - `utf-16le`, `utf-16be`: text in UTF-16, with or without a byte order mark.
 *
 * @category models
 * @since 0.1.0
 */
export type FileFormat =
  | "xlsx"
  | "xls"
  | "ods"
  | "zip"
  | "gzip"
  | "pdf"
  | "html"
  | "xml"
  | "utf-16le"
  | "utf-16be"

/**
 * How many bytes `of` looks at.
 *
 * @category constants
 * @since 0.1.0
 */
export const headBytes = 512

/**
 * The format of a file that begins with these bytes. `undefined` where it may be text in UTF-8 or in an encoding that extends
 * ASCII.
 *
 * @category recognising
 * @since 0.1.0
 */
export const of = (head: Uint8Array): FileFormat | undefined => {
  // One character for each byte.
  const text = new TextDecoder("latin1").decode(head.subarray(0, headBytes))
  if (text.startsWith("PK\u0003\u0004")) {
    if (text.includes("vnd.oasis.opendocument.spreadsheet")) return "ods"
    return /\[Content_Types\]\.xml|_rels\/|docProps\/|xl\//.test(text) ? "xlsx" : "zip"
  }
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip"
  if (text.startsWith("%PDF-")) return "pdf"
  if (head[0] === 0xd0 && head[1] === 0xcf && head[2] === 0x11 && head[3] === 0xe0) return "xls"
  const utf16 = utf16Of(head)
  if (utf16 !== undefined) return utf16
  const content = text.replace(/^\u00ef\u00bb\u00bf/, "").trimStart()
  if (/^<(?:!doctype\s+html|html|head|body|table|script|meta)\b/i.test(content)) return "html"
  if (/^<\?xml\b/i.test(content)) return /<html\b/i.test(content) ? "html" : "xml"
  return undefined
}

/**
 * What to tell people about a file in this format, where text was expected: what it is, and what to do.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (format: FileFormat): string => descriptions[format]

// Without a mark: two characters of ASCII show it.
const utf16Of = (head: Uint8Array): "utf-16le" | "utf-16be" | undefined => {
  const [a, b, c, d] = head
  if (a === 0xff && b === 0xfe) return "utf-16le"
  if (a === 0xfe && b === 0xff) return "utf-16be"
  if (a === 0 && b !== 0 && c === 0 && d !== 0) return "utf-16be"
  return a !== 0 && b === 0 && c !== 0 && d === 0 ? "utf-16le" : undefined
}

/** How Excel saves text that every program reads. */
const excel = "open it in Excel, choose File > Save As > \"CSV UTF-8 (Comma delimited)\", and use that file"

const descriptions: { readonly [format in FileFormat]: string } = {
  "xlsx": `is an Excel workbook: ${excel}`,
  "xls": `is an Excel workbook: ${excel}`,
  "ods":
    "is a spreadsheet of LibreOffice: open it there, choose File > Save As > \"Text CSV\" with the character set " +
    "\"Unicode (UTF-8)\", and use that file",
  "zip": "is a ZIP archive: unpack it",
  "gzip": "is compressed with gzip: give it a name that ends in .gz, or decompress it",
  "pdf": "is a PDF: export its table as CSV",
  "html": "is an HTML page, such as the login page of the site that it was downloaded from: download it again",
  "xml": "is XML: export its table as CSV",
  "utf-16le": `is text in UTF-16 ("Unicode Text"): ${excel}`,
  "utf-16be": `is text in UTF-16 ("Unicode Text"): ${excel}`
}

import { FileFormat } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"

const zip = "PK\u0003\u0004"
const latin1 = (text: string) => Buffer.from(text, "latin1")

const heads: ReadonlyArray<readonly [string, Uint8Array, FileFormat.FileFormat | undefined]> = [
  ["an Excel workbook by its types", latin1(`${zip}[Content_Types].xml`), "xlsx"],
  ["an Excel workbook by its sheets", latin1(`${zip}${"x".repeat(20)}xl/workbook.xml`), "xlsx"],
  ["a spreadsheet of LibreOffice", latin1(`${zip}mimetypeapplication/vnd.oasis.opendocument.spreadsheet`), "ods"],
  ["any other archive", latin1(`${zip}a.csv`), "zip"],
  ["an archive whose workbook lies beyond the head", latin1(`${zip}${"x".repeat(600)}xl/`), "zip"],
  ["gzip", Buffer.from("1f8b08", "hex"), "gzip"],
  ["not gzip by its first byte alone", Buffer.from("1f8a08", "hex"), undefined],
  ["an old workbook", Buffer.from("d0cf11e0", "hex"), "xls"],
  ["no old workbook by its first bytes alone", Buffer.from("d0cf11e1", "hex"), undefined],
  ["a PDF", latin1("%PDF-1.7"), "pdf"],
  ["a page behind a mark and blanks", Buffer.from("\uFEFF\n  <!DOCTYPE html>"), "html"],
  ["a page by its table", latin1("<table>"), "html"],
  ["a page that is XML", latin1(`<?xml version="1.0"?><html>`), "html"],
  ["XML", latin1(`<?xml version="1.0"?><rows>`), "xml"],
  ["no page, but a column with such a name", latin1("<tables>,b"), undefined],
  ["UTF-16 by its mark, little end first", Buffer.from("fffe6100", "hex"), "utf-16le"],
  ["UTF-16 by its mark, big end first", Buffer.from("feff0061", "hex"), "utf-16be"],
  ["UTF-16 without a mark, little end first", Buffer.from("61003b00", "hex"), "utf-16le"],
  ["UTF-16 without a mark, big end first", Buffer.from("0061003b", "hex"), "utf-16be"],
  ["text with a NUL", Buffer.from("61003b3b", "hex"), undefined],
  ["text", latin1("a,b\n1,2\n"), undefined],
  ["nothing", new Uint8Array(0), undefined]
]

describe("FileFormat", () => {
  for (const [name, head, format] of heads) {
    it(`recognizes ${name}`, () => assert.strictEqual(FileFormat.of(head), format))
  }

  it("says what each is and what to do", () => {
    const excel = `open it in Excel, choose File > Save As > "CSV UTF-8 (Comma delimited)", and use that file`
    const ods =
      `open it there, choose File > Save As > "Text CSV" with the character set "Unicode (UTF-8)", and use that file`
    const page = "such as the login page of the site that it was downloaded from: download it again"
    const said: { readonly [F in FileFormat.FileFormat]: string } = {
      "xlsx": `is an Excel workbook: ${excel}`,
      "xls": `is an Excel workbook: ${excel}`,
      "ods": `is a spreadsheet of LibreOffice: ${ods}`,
      "zip": "is a ZIP archive: unpack it",
      "gzip": "is compressed with gzip: give it a name that ends in .gz, or decompress it",
      "pdf": "is a PDF: export its table as CSV",
      "html": `is an HTML page, ${page}`,
      "xml": "is XML: export its table as CSV",
      "utf-16le": `is text in UTF-16 ("Unicode Text"): ${excel}`,
      "utf-16be": `is text in UTF-16 ("Unicode Text"): ${excel}`
    }
    for (const [format, text] of Object.entries(said)) {
      assert.strictEqual(FileFormat.describe(format as FileFormat.FileFormat), text)
    }
  })
})

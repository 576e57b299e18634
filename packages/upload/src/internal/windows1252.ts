import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as UploadError from "../UploadError.ts"
import { Utf8Checker } from "./utf8.ts"

/** The characters of 0x80 to 0x9f, with a space for the five bytes that have none. */
const special = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ"

const undefinedBytes: ReadonlySet<number> = new Set([0x81, 0x8d, 0x8f, 0x90, 0x9d])

/** Whether bytes may be text in Windows-1252: no control characters but those of lines and tabs, and no undefined bytes. */
export const mayBe = (bytes: Uint8Array): boolean =>
  bytes.every((byte) =>
    byte >= 0x20 ? byte !== 0x7f && !undefinedBytes.has(byte) : byte === 9 || byte === 10 || byte === 13
  )

/** Fails where the text is UTF-8 already, which would be garbled, and where it is not Windows-1252. */
export const toUtf8 = (
  self: Stream.Stream<Uint8Array, UploadError.UploadError>,
  source: string
): Stream.Stream<Uint8Array, UploadError.UploadError> =>
  Stream.suspend(() => {
    const utf8 = new Utf8Checker()
    let isAscii = true
    const unreadable = (description: string) =>
      new UploadError.UploadError({
        source,
        reason: new UploadError.SourceUnreadable({ problem: "failed", description })
      })
    const wrong = Stream.suspend(() =>
      isAscii || utf8.broken || utf8.cut
        ? Stream.empty
        : Stream.fail(unreadable("it is UTF-8, not Windows-1252"))
    )
    return Stream.concat(
      Stream.mapEffect(self, (chunk) =>
        Effect.suspend(() => {
          let from = 0
          while (from < chunk.length && !utf8.broken) {
            if ((chunk[from] ?? 0) >= 0x80) isAscii = false
            from = (chunk[from] ?? 0) < 0x80 && !utf8.cut ? from + 1 : utf8.read(chunk, from)
          }
          const bad = chunk.find((byte) => undefinedBytes.has(byte))
          return bad === undefined
            ? Effect.succeed(encode(chunk))
            : Effect.fail(unreadable(`it has the byte 0x${bad.toString(16)}, so it is not Windows-1252`))
        })),
      wrong
    )
  })

const encode = (chunk: Uint8Array): Uint8Array => {
  // The longest character, such as the euro sign, has three bytes.
  const encoded = new Uint8Array(3 * chunk.length)
  let length = 0
  for (const byte of chunk) {
    if (byte < 0x80) encoded[length++] = byte
    else {
      const character = byte < 0xa0 ? special.charCodeAt(byte - 0x80) : byte
      if (character < 0x800) encoded[length++] = 0xc0 | (character >> 6)
      else {
        encoded[length++] = 0xe0 | (character >> 12)
        encoded[length++] = 0x80 | ((character >> 6) & 0x3f)
      }
      encoded[length++] = 0x80 | (character & 0x3f)
    }
  }
  return encoded.subarray(0, length)
}

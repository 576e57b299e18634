/** Checks what is not ASCII, by the table of well-formed byte sequences of the Unicode standard (table 3-7). */
export class Utf8Checker {
  broken = false
  private ignored = false
  private due = 0
  private low = 0x80
  private high = 0xbf

  /** Whether more bytes of a character are due. */
  get cut(): boolean {
    return this.due > 0
  }

  ignore(): void {
    this.ignored = true
    this.broken = false
    this.due = 0
  }

  /** Reads to the next character of ASCII. */
  read(chunk: Uint8Array, from: number): number {
    let i = from
    for (; i < chunk.length; i++) {
      const byte = chunk[i] ?? 0
      if (byte < 0x80) {
        this.broken ||= this.due > 0
        return i
      }
      if (this.ignored) continue
      if (this.due === 0) this.lead(byte)
      else {
        this.broken ||= byte < this.low || byte > this.high
        this.due--
        this.low = 0x80
        this.high = 0xbf
      }
    }
    return i
  }

  private lead(byte: number): void {
    if (byte < 0xc2 || byte > 0xf4) {
      this.broken = true
      return
    }
    this.due = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3
    this.low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80
    this.high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf
  }
}

import * as Tls from "node:tls"
import { certificate, key } from "./loopbackCertificate.ts"

const frame = (type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const types = { data: 0, headers: 1, reset: 3, settings: 4, windowUpdate: 8 }
const flags = { ack: 1, endStream: 1, endHeaders: 4 }

const numbers = (...numbers: ReadonlyArray<number>) => {
  const payload = Buffer.alloc(numbers.length * 4)
  numbers.forEach((number, i) => payload.writeUInt32BE(number, i * 4))
  return payload
}

/** `:status 200`, which is the eighth entry of HPACK's static table. */
export const ok = (stream: number) => frame(types.headers, flags.endHeaders, stream, Buffer.from([0x88]))
export const data = (stream: number, text: string, last: boolean) =>
  frame(types.data, last ? flags.endStream : 0, stream, Buffer.from(text))
export const reset = (stream: number, code: number) => frame(types.reset, 0, stream, numbers(code))

/** A server that sends frames as they are, once it has read a request. Node's own sends others: it ends a stream before it resets it. */
export const server = (respond: (stream: number, socket: Tls.TLSSocket) => void): Tls.Server =>
  Tls.createServer({ cert: certificate, key, ALPNProtocols: ["h2"] }, (socket) => {
    let received = Buffer.alloc(0)
    let at = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".length
    socket.write(frame(types.settings, 0, 0))
    socket.on("error", () => {})
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes])
      while (received.length >= at + 9) {
        const length = received.readUIntBE(at, 3)
        if (received.length < at + 9 + length) return
        const type = received[at + 3]
        const flag = ((received[at + 4] ?? 0) & 1) !== 0
        const stream = received.readUInt32BE(at + 5)
        if (type === types.settings && !flag) socket.write(frame(types.settings, flags.ack, 0))
        if (type === types.data && length > 0) {
          for (const window of [0, stream]) socket.write(frame(types.windowUpdate, 0, window, numbers(length)))
        }
        if ((type === types.headers || type === types.data) && flag) respond(stream, socket)
        at += 9 + length
      }
    })
  })

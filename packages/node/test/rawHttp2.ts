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

const types = { data: 0, headers: 1, reset: 3, settings: 4 }
const flags = { ack: 1, endStream: 1, endHeaders: 4 }

/** `:status 200`, which is the eighth entry of HPACK's static table. */
export const ok = (stream: number) => frame(types.headers, flags.endHeaders, stream, Buffer.from([0x88]))
export const data = (stream: number, text: string, last: boolean) =>
  frame(types.data, last ? flags.endStream : 0, stream, Buffer.from(text))
export const reset = (stream: number, code: number) => {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(code)
  return frame(types.reset, 0, stream, payload)
}

/** A server that sends frames for each request as they are, which Node's own does not: it ends a stream before it resets it. */
export const server = (respond: (stream: number) => Uint8Array): Tls.Server =>
  Tls.createServer({ cert: certificate, key, ALPNProtocols: ["h2"] }, (socket) => {
    let received = Buffer.alloc(0)
    let at = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".length
    socket.write(frame(types.settings, 0, 0))
    socket.on("error", () => {})
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes])
      while (received.length >= at + 9) {
        const end = at + 9 + received.readUIntBE(at, 3)
        if (received.length < end) return
        const type = received[at + 3]
        const acknowledged = ((received[at + 4] ?? 0) & flags.ack) !== 0
        if (type === types.settings && !acknowledged) socket.write(frame(types.settings, flags.ack, 0))
        if (type === types.headers) socket.write(respond(received.readUInt32BE(at + 5)))
        at = end
      }
    })
  })

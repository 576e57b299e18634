import * as Recovery from "../Recovery.ts"
import * as Transport from "../Transport.ts"

/** The recovery of a transport's failure; `undefined` if neither its kind nor its code determines one. */
export const transportRecovery = (
  { code, kind }: Pick<Transport.Diagnosis, "code" | "kind">
): Recovery.Recovery | undefined => {
  switch (kind) {
    case "tls":
    case "protocol":
    case "closed":
      return Recovery.giveUp
    case "proxyRejected":
      return Recovery.authorize
    case "address":
    case "request":
      return Recovery.correct
    case "body": {
      // The failure of the body's source.
      const origin = Transport.diagnose({ code })
      return (origin.kind === "body" ? undefined : transportRecovery(origin)) ?? Recovery.giveUp
    }
    case "unknown":
      return code === undefined ? undefined : systemCodes.get(code)
    default:
      return Recovery.retry
  }
}

const systemCodes: ReadonlyMap<string, Recovery.Recovery> = /* @__PURE__ */ new Map([
  ["EAGAIN", Recovery.retry],
  ["EBUSY", Recovery.retry],
  ["EMFILE", Recovery.retry],
  ["ENFILE", Recovery.retry],
  ["EACCES", Recovery.authorize],
  ["EPERM", Recovery.authorize],
  ["ENOENT", Recovery.correct]
])

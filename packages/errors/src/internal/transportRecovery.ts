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
      return ofSystemCode(code)
    default:
      return Recovery.retry
  }
}

const ofSystemCode = (code: string | undefined): Recovery.Recovery | undefined => {
  switch (code) {
    case "EAGAIN":
    case "EBUSY":
    case "EMFILE":
    case "ENFILE":
      return Recovery.retry
    case "EACCES":
    case "EPERM":
      return Recovery.authorize
    case "ENOENT":
      return Recovery.correct
    default:
      return undefined
  }
}

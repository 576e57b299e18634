import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import { TableDownloads } from "@effect-resilience/tbm-studio/TableDownloads"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ExitStatus from "../ExitStatus.ts"

/** What the service says about a table and period. Whether one may upload, it only says to an upload. */
interface Access {
  readonly read: "allowed" | "denied" | "missing"
  readonly message: string | undefined
}

/** Asks for the beginning of a table, which is all that the service lets one ask. */
export const check = Effect.fnUntraced(function*(address: TableAddress.TableAddress) {
  const { read } = yield* TableDownloads
  const access = yield* Effect.matchEffect(read(address, (bytes) => Stream.runHead(bytes)), {
    onSuccess: () => Effect.succeed<Access>({ read: "allowed", message: undefined }),
    onFailure: (error) => {
      const message = ErrorMessage.textOf(error)
      if (Recovery.of(error)._tag === "Authorize" || /access denied/i.test(message)) {
        return Effect.succeed<Access>({ read: "denied", message })
      }
      return ErrorName.reasonTagOf(error) === "NotFound" || /table not found/i.test(message)
        ? Effect.succeed<Access>({ read: "missing", message })
        : Effect.fail(error)
    }
  })
  const name = TableAddress.format(address)
  return {
    json: { check: { ...address, read: access.read, upload: "unknown", message: access.message ?? null } },
    text: [
      `Read         ${name}: ${words[access.read]}`,
      "Upload       only an upload shows it: it needs AccessDev, UploadData and the permission \"Upload Data\""
    ],
    problems: access.read === "denied" ? [`${name}: ${access.message}`] : [],
    exitStatus: access.read === "denied" ? ExitStatus.noPermission : ExitStatus.done
  }
})

const words: { readonly [read in Access["read"]]: string } = {
  allowed: "allowed",
  denied: "denied",
  missing: "there is nothing. An upload creates a table: check the spelling, or whether it is hidden from this user"
}

import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { servesOnce } from "./idempotency.ts"
import { sharesTokens } from "./processes.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "auth-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

sharesTokens("a SQLite file", Effect.map(directory, (path) => join(path, "tokens.db")))
servesOnce("a SQLite file", Effect.map(directory, (path) => join(path, "orders.db")))

/** Writes the table of the messages of `tbm-studio`: `npm run messages`. */
import * as AuthError from "@effect-resilience/auth/AuthError"
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import * as ExitStatus from "@effect-resilience/tbm-studio-cli/ExitStatus"
import * as Period from "@effect-resilience/tbm-studio/Period"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as UploaderError from "@effect-resilience/tbm-studio/UploaderError"
import * as UploadSessions from "@effect-resilience/tbm-studio/UploadSessions"
import * as Journal from "@effect-resilience/upload/Journal"
import * as UploadError from "@effect-resilience/upload/UploadError"
import * as Duration from "effect/Duration"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Sentences from "./Sentences.ts"
import { isNode, type Node, walk } from "./Syntax.ts"
import { filesOf, root } from "./Workspace.ts"

const cli = join(root, "packages/tbm-studio-cli")
const { explain }: { readonly explain: (error: unknown) => string } = await import(
  pathToFileURL(join(cli, "src/internal/words.ts")).href
)

/** The file. */
export const file = "packages/tbm-studio-cli/docs/messages.md"

interface Message {
  readonly status: number | undefined
  readonly cause: string
  readonly text: string
  readonly recovery: Recovery.Recovery["_tag"] | undefined
}

// ---- Errors of the packages below, as the command words them.

const endpoint = { method: "POST", endpoint: "/biit/api/v1/{domain}/{project}/{table}/{period}/{action}" }
const api = (reason: ApiError.Reason) => new ApiError.ApiError({ ...endpoint, reason })
const broken = new ApiError.TransportFailure({ kind: "reset", code: "ECONNRESET", connected: true })
const processing = { processId: "{process}", detail: "{detail}" }
const seconds = Duration.seconds(30)

/** An example of each error that the command can meet. The keys are the names of its exported classes. */
const examples: { readonly [name: string]: ReadonlyArray<unknown> } = {
  "ApiError.TransportFailure": [api(broken)],
  "ApiError.Timeout": (["connect", "send", "response", "body", "attempt"] as const).map((phase) =>
    api(new ApiError.Timeout({ phase, timeout: seconds }))
  ),
  "ApiError.UndecodableResponse": [
    api(new ApiError.UndecodableResponse({ status: 200, expected: "JSON", got: "an HTML page" }))
  ],
  "ApiError.OutcomeUnknown": [api(new ApiError.OutcomeUnknown({ failure: broken }))],
  ...Object.fromEntries(
    [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 418].map((status) => {
      const reason = ApiError.reasonFromStatus(status, { detail: "{detail}" })
      return [`ApiError.${reason._tag}`, [api(reason)]]
    })
  ),
  "AuthError.Rejected": [new AuthError.Rejected({ detail: "{detail}" })],
  "AuthError.Unavailable": [
    new AuthError.Unavailable({ detail: "{message of the failed login}", recovery: Recovery.retry }),
    new AuthError.Unavailable({ detail: "{page in place of the login}", recovery: Recovery.giveUp })
  ],
  "AuthError.NoToken": [new AuthError.NoToken({ expected: "{where}" })],
  "AuthError.MalformedToken": [new AuthError.MalformedToken({ problem: "{problem}" })],
  "AuthError.AmbiguousToken": [new AuthError.AmbiguousToken({ locations: "{where}" })],
  "AuthError.StillUnauthorized": [new AuthError.StillUnauthorized({ detail: "{detail}" })],
  "AuthError.NotReplayable": [new AuthError.NotReplayable()],
  "AuthError.ForeignOrigin": [new AuthError.ForeignOrigin({ allowed: "{api}", requested: "{elsewhere}" })],
  "CircuitBreaker.CircuitOpen": [
    new CircuitBreaker.CircuitOpen({ policy: "tbm-studio", state: "Open", retryAfter: seconds })
  ],
  "AttemptBudget.BudgetExhausted": [new AttemptBudget.BudgetExhausted({ budget: "tbm-studio" })],
  "UploadError.SourceUnreadable": [
    new UploadError.SourceUnreadable({ problem: "missing", description: "it does not exist" }),
    new UploadError.SourceUnreadable({ problem: "busy", description: "too many files are open" })
  ],
  "UploadError.SourceChanged": [new UploadError.SourceChanged({ description: "{how}" })],
  "UploadError.NotReplayable": [new UploadError.NotReplayable({ failure: api(broken) })],
  "UploadError.IntegrityMismatch": [true, false].map((idempotent) =>
    new UploadError.IntegrityMismatch({ what: "md5", sent: "{sent}", stored: "{stored}", idempotent })
  ),
  "UploadError.IncompleteBody": [true, false].map((idempotent) =>
    new UploadError.IncompleteBody({ sent: 1, size: 2, idempotent })
  ),
  "UploadError.HashingFailed": [true, false].map((idempotent) =>
    new UploadError.HashingFailed({ description: "{why}", idempotent })
  ),
  "UploadError.InDoubt": [new UploadError.InDoubt({ since: 0 })],
  "UploadError.ChangedSinceUpload": [true, false].map((compared) =>
    new UploadError.ChangedSinceUpload({ since: 0, compared })
  ),
  "UploadError.SurplusAdditions": [new UploadError.SurplusAdditions({ names: ["{file}"] })],
  "UploaderError.NoUploaderService": [new UploaderError.NoUploaderService({ region: "usgov" })],
  "UploaderError.UnsuitableUpload": [new UploaderError.UnsuitableUpload({ problem: "{problem}" })],
  "UploaderError.SessionStoreFailed": [
    new UploaderError.SessionStoreFailed({
      failure: new UploadSessions.SessionsError({ operation: "kept", cause: new Error("{why}") })
    })
  ],
  "UploaderError.ProcessingFailed": [new UploaderError.ProcessingFailed(processing)],
  "UploaderError.IncompleteGroupSession": [new UploaderError.IncompleteGroupSession(processing)],
  "UploaderError.FailedGroupCheckin": [new UploaderError.FailedGroupCheckin(processing)],
  "UploaderError.GroupNotProcessed": [new UploaderError.GroupNotProcessed()],
  "UploaderError.ProcessingUnknown": [
    new UploaderError.ProcessingUnknown({ processId: "{process}", after: Duration.minutes(30) })
  ],
  "Period.InvalidPeriod": [new Period.InvalidPeriod({ text: "Jan-24" })],
  "TableAddress.InvalidName": [new TableAddress.InvalidName({ what: "table", text: "{name}" })],
  "Journal.PlaceTaken": [new Journal.PlaceTaken({ place: "{place}" })]
}

/** Errors that contain one of these, or that the command replaces by one of its own. */
const others = [
  "ApiError.ApiError",
  "ApiError.PartsDelivered",
  "AuthError.AuthError",
  "AuthError.NotConfigured",
  "Journal.JournalError",
  "UploadError.UploadError",
  "UploadSessions.SessionsError",
  "UploaderError.UploaderError"
]

/** The modules whose errors the command meets. */
const modules: { readonly [name: string]: object } = {
  ApiError,
  AttemptBudget,
  AuthError,
  CircuitBreaker,
  Journal,
  Period,
  TableAddress,
  UploadError,
  UploadSessions,
  UploaderError
}

/** Exported errors of these modules that the table leaves out, and entries that are for no error. */
export const unlisted = (): ReadonlyArray<string> => {
  const exported = Object.entries(modules).flatMap(([module, exports]) =>
    Object.entries(exports).flatMap(([name, value]) =>
      typeof value === "function" && value.prototype instanceof Error ? [`${module}.${name}`] : []
    )
  )
  const tags: { readonly [tag: string]: string } = { "ApiError.UndecodableAnswer": "ApiError.UndecodableResponse" }
  const listed = [...Object.keys(examples).map((name) => tags[name] ?? name), ...others]
  return [
    ...exported.filter((name) => !listed.includes(name)),
    ...listed.filter((name) => !exported.includes(name))
  ]
}

const sourceOf: { readonly [module: string]: (reason: never) => unknown } = {
  UploadError: (reason) => new UploadError.UploadError({ source: "{file}", reason }),
  UploaderError: (reason) => new UploaderError.UploaderError({ source: "{file}", reason })
}

const ofErrors: ReadonlyArray<Message> = Object.entries(examples).flatMap(([name, errors]) =>
  errors.map((reason) => {
    const error = sourceOf[name.split(".")[0] ?? ""]?.(reason as never) ?? reason
    return {
      status: ExitStatus.of(error),
      cause: ErrorName.reasonTagOf(error) ?? ErrorName.nameOf(error),
      text: explain(error),
      recovery: Recovery.of(error)._tag
    }
  })
)

// ---- Failures that the command words itself.

const propertyOf = (object: Node | undefined, name: string): Node | undefined => {
  const properties = object?.["properties"]
  const found = Array.isArray(properties)
    ? properties.filter(isNode).find((property) => isNode(property["key"]) && property["key"]["name"] === name)
    : undefined
  return isNode(found?.["value"]) ? found["value"] : undefined
}
const argumentsOf = (node: Node): ReadonlyArray<Node> => Array.isArray(node["arguments"]) ? node["arguments"] : []
const elementsOf = (node: Node | undefined): ReadonlyArray<Node> =>
  Array.isArray(node?.["elements"]) ? node["elements"].filter(isNode) : []
const calleeOf = (node: Node): string => {
  const callee = node["callee"]
  if (!isNode(callee)) return ""
  const { object, property } = callee
  return isNode(object) && isNode(property)
    ? `${String(object["name"])}.${String(property["name"])}`
    : String(callee["name"])
}

interface Found {
  readonly cause: string
  readonly texts: ReadonlyArray<string>
}

const known: ReadonlySet<string> = new Set([
  "CannotWrite",
  "ChangedSinceUpload",
  "ClusterUnavailable",
  "InvalidFile",
  "InvalidFiles",
  "InvalidInput",
  "InvalidManifest",
  "InvalidOption",
  "InvalidSettings",
  "UnreadableFolder"
])

/** The messages in one module. `problems` is the error that lists the problems which it finds. */
const inModule = (path: string, problems: string | undefined): ReadonlyArray<Found> => {
  const module = new Sentences.Module(path, readFileSync(path, "utf8"))
  const found: Array<Found> = []
  const add = (cause: string, node: Node | undefined) => {
    if (node !== undefined) found.push({ cause, texts: module.of(node) })
  }
  const ofError = new Set<Node>()
  walk(module.body, (node) => {
    const name = calleeOf(node)
    const [first, second] = argumentsOf(node)
    if (node.type === "ClassDeclaration" && problems === undefined) {
      const className = isNode(node["id"]) ? String(node["id"]["name"]) : ""
      const members = isNode(node["body"]) ? node["body"]["body"] : []
      for (const member of Array.isArray(members) ? members.filter(isNode) : []) {
        const isMessage = member["kind"] === "get" && isNode(member["key"]) && member["key"]["name"] === "message"
        if (isMessage && isNode(member["value"])) {
          add(className === "JournalFailed" ? "JournalError" : className, member["value"])
        }
      }
    }
    if (node.type === "NewExpression") {
      if (first !== undefined) ofError.add(first)
      if (!known.has(name)) return
      add(name, propertyOf(first, "message"))
      for (const problem of elementsOf(propertyOf(first, "problems"))) {
        add(name, propertyOf(problem, "description") ?? problem)
      }
    } else if (node.type === "CallExpression") {
      if (name === "failAs") add("InvalidOption", second)
      else if (problems !== undefined && name === "Result.fail") add(problems, first)
      else if (problems !== undefined && name === "problems.push") add(problems, first)
      else if (name === "Output.print") {
        for (const line of elementsOf(second)) add("", line)
      } else if (name === "region.print" || name === "Effect.logWarning") {
        for (const line of first?.type === "ArrayExpression" ? elementsOf(first) : [first]) add("", line)
      }
    } else if (node.type === "ObjectExpression" && !ofError.has(node)) {
      const tag = propertyOf(node, "reason") ?? propertyOf(node, "tag")
      const message = propertyOf(node, "message")
      if (tag?.type === "Literal" && message?.type !== "CallExpression") add(String(tag["value"]), message)
      if (problems !== undefined) add("", propertyOf(node, "next"))
      for (const line of elementsOf(propertyOf(node, "problems"))) add("", line)
      const line = propertyOf(node, "line")
      if (problems !== undefined && propertyOf(node, "description") !== undefined) {
        add(problems, propertyOf(node, "description"))
      } else if (problems !== undefined && line?.type === "BinaryExpression") add(problems, line)
    }
  })
  return found
}

const problemsOf: { readonly [file: string]: string } = {
  "Manifest.ts": "InvalidManifest",
  "manifestRecords.ts": "InvalidManifest",
  "manifestText.ts": "InvalidManifest",
  "preflight.ts": "InvalidFiles",
  "Preflight.ts": "InvalidFiles",
  "CsvReader.ts": "InvalidFiles",
  "Settings.ts": "InvalidSettings",
  "keyFiles.ts": "InvalidSettings",
  "watchRules.ts": "InvalidInput"
}

const statusOf = (cause: string): Pick<Message, "status" | "recovery"> => {
  if (cause === "") return { status: undefined, recovery: undefined }
  const recovery = recoveries[cause] ?? Recovery.correct
  const status = cause === "Bug" ? ExitStatus.bug : ExitStatus.of({ _tag: cause, [Recovery.symbol]: () => recovery })
  return { status: /^(HeldBack|TimeOver)$/.test(cause) ? undefined : status, recovery: recovery._tag }
}

const recoveries: { readonly [tag: string]: Recovery.Recovery } = {
  Bug: Recovery.giveUp,
  CannotWrite: Recovery.retry,
  ClusterUnavailable: Recovery.retry,
  HeldBack: Recovery.retry,
  BackupFailed: Recovery.retry,
  Interrupted: Recovery.retry,
  JournalError: Recovery.giveUp,
  JournalInUse: Recovery.retry,
  OutcomeUnknown: Recovery.verify,
  TimeOver: Recovery.retry,
  UnreadableFolder: Recovery.correct
}

const ofCommand = (): ReadonlyArray<Message> =>
  [
    ...filesOf(join(cli, "src")).map((path) => join(cli, "src", path)),
    ...["upload/src/Preflight.ts", "upload/src/CsvReader.ts", "tbm-studio/src/Settings.ts"].map((path) =>
      join(root, "packages", path)
    )
  ].filter((path) => path.endsWith(".ts")).flatMap((path) =>
    inModule(path, problemsOf[basename(path)]).flatMap(({ cause, texts }) =>
      texts.filter((text) => /[a-z]{2,} [a-z]/i.test(text.replace(/\{[^}]*\}/g, ""))).map((text) => ({
        cause,
        text,
        ...statusOf(cause)
      }))
    )
  )

// ---- The page.

/** The meaning of each status, and what to do, as the README has them. */
const statuses = (): ReadonlyArray<readonly [status: number, meaning: string, advice: string]> =>
  readFileSync(join(cli, "README.md"), "utf8").split("\n").flatMap((line) => {
    const [, status, meaning = "", advice = ""] = /^\| (\d+) +\| (.*?) +\| (.*?) +\|$/.exec(line) ?? []
    return status === undefined ? [] : [[Number(status), meaning, advice] as const]
  })

const cell = (text: string): string =>
  text.replace(/\n/g, " ").replace(/[\\|`*_<>[\]]/g, "\\$&").replace(/ {2,}/g, " ").trim()

const table = (messages: ReadonlyArray<Message>): ReadonlyArray<string> => {
  const rows = new Set(
    messages.map(({ cause, recovery, text }) => `| ${cell(text)} | ${cause} | ${recovery ?? ""} |`)
  )
  return ["| message | cause | `recovery` |", "| --- | --- | --- |", ...Array.from(rows).toSorted()]
}

/** What the file should hold. */
export const page = (): string => {
  const messages = [...ofErrors, ...ofCommand()]
  return [
    "# Messages of tbm-studio",
    "",
    "Each message of the command, by its exit status. Written by `npm run messages` from the source; do not edit it. What is in",
    "braces differs. The cause is the `reason` or the `tag` that `--json` reports, beside its `recovery`.",
    ...statuses().flatMap(([status, meaning, advice]) => {
      const own = messages.filter((message) => message.status === status)
      return own.length === 0
        ? []
        : ["", `## ${status}: ${cell(meaning)}`, "", `What to do: ${cell(advice)}.`, "", ...table(own)]
    }),
    "",
    "## Notices",
    "",
    "These do not end the command, or another failure gives the status.",
    "",
    "| message | cause |",
    "| --- | --- |",
    ...new Set(
      messages.filter(({ status }) => status === undefined).map(({ cause, text }) => `| ${cell(text)} | ${cause} |`)
        .toSorted()
    ),
    ""
  ].join("\n")
}

if (import.meta.main) {
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(join(root, file), page())
}

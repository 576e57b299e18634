/**
 * The order of everything around a call. The slots are those of the pipeline, and what a client has around and below them is read from its
 * source, where it is composed. What is said of each is typed here; a layer without words, and words without a layer, are errors.
 */
import type { Slot } from "@effect-resilience/pipeline/Slot"
import { order as slots } from "@effect-resilience/pipeline/Slot"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Node } from "../../../repo-checks/src/Syntax.ts"
import { isNode, parse, walk } from "../../../repo-checks/src/Syntax.ts"
import { root } from "../../../repo-checks/src/Workspace.ts"
import type { Drawing } from "./Drawing.ts"
import { text, widths } from "./Drawing.ts"

interface Layer {
  readonly name: string
  readonly words: string
  /** Whether only a client has it. */
  readonly extra: boolean
}

const ofSlots: { readonly [S in Slot]: string } = {
  deadline: "nothing below outlives it",
  fallback: "sees what failed in the end",
  call: "one span for all attempts",
  budget: "retries withdraw from it",
  bulkhead: "one permit for all attempts",
  retry: "repeats what is below it",
  hedge: "a second one beside a late one",
  circuitBreaker: "counts attempts, stops retries",
  authentication: "only for those that are sent",
  throttle: "drops what would be rejected",
  pacer: "waits for its turn",
  concurrencyLimit: "measures round trips",
  attemptTimeout: "bounds one attempt",
  attempt: "the span of one attempt"
}

/** By what the source of the client calls; nothing is said of what only lets the others know when a response ends. */
const ofClient: { readonly [call: string]: readonly [name: string, words: string] | undefined } = {
  "Idempotency.withKeyUnsafe": ["idempotency key", "the same for all attempts"],
  "Redaction.provide": ["redaction", "hides secrets from both below"],
  "AccessLog.logCall": ["log line of the call", "says how it ended"],
  "Telemetry.observeCall": ["span of the call", "holds those of attempts"],
  "address.rebase": ["base URL", "one of several"],
  withDeadlineHeaders: ["deadline header", "the time that is left"],
  "ResponseLifetime.attempts": undefined,
  "AccessLog.logAttempts": ["log line of the attempt", "says what came back"],
  "Telemetry.observeAttempts": ["span of the attempt", "its parent is the call's"],
  "ErrorMapping.mapErrors": ["error mapping", "statuses become errors"],
  "Redirects.follow": ["redirects", "if you ask for them"]
}

/** What is called or passed on in a part of the program, in its order. */
const named = (within: Node, code: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  walk(within, (node) => {
    const name = code.slice(node.start, node.end)
    if (name in ofClient && !found.includes(name)) found.push(name)
  })
  return found
}

/** What each step of each `x.pipe(...)` names. */
const pipesOf = (within: Node, code: string): ReadonlyArray<ReadonlyArray<string>> => {
  const found: Array<ReadonlyArray<string>> = []
  walk(within, (node) => {
    const callee = node["callee"]
    if (node.type !== "CallExpression" || !isNode(callee) || !isNode(callee["property"])) return
    if (callee["property"]["name"] !== "pipe" || !isNode(callee["object"]) || !Array.isArray(node["arguments"])) return
    found.push(
      node["arguments"].filter(isNode).map((step) => {
        const [name, ...more] = named(step, code)
        if (name === undefined || more.length > 0) {
          throw new Error(`the drawing of the order has no words for ${code.slice(step.start, step.end)}`)
        }
        return name
      })
    )
  })
  return found
}

/** The layers of a client by what its source calls, outside in: those around the slots, and those below them. */
export const clientCalls = (
  code: string
): { readonly above: ReadonlyArray<string>; readonly below: ReadonlyArray<string> } => {
  const declared = new Map<string, Node>()
  walk(parse("engine.ts", code).body, (node) => {
    const id = node["id"]
    const value = node["init"]
    if (node.type === "VariableDeclarator" && isNode(id) && isNode(value)) declared.set(String(id["name"]), value)
  })
  const of = (name: string): Node => {
    const node = declared.get(name)
    if (node === undefined) throw new Error(`the client's engine has no ${name}`)
    return node
  }
  const composed = (name: string): ReadonlyArray<string> => pipesOf(of(name), code)[0]?.toReversed() ?? []
  const keys = named(of("execute"), code)
  const above = [...keys, ...composed("observed")]
  const below = [...named(of("send"), code), ...composed("attempts")]
  const missing = Object.keys(ofClient).filter((name) => ![...above, ...below].includes(name))
  if (missing.length > 0) throw new Error(`the client no longer has ${missing.join(", ")}`)
  return { above, below }
}

const engine = join(root, "packages/client/src/internal/engine.ts")

const layers = (): ReadonlyArray<Layer> => {
  const { above, below } = clientCalls(readFileSync(engine, "utf8"))
  const extra = (calls: ReadonlyArray<string>) =>
    calls.flatMap((call): ReadonlyArray<Layer> => {
      const said = ofClient[call]
      return said === undefined ? [] : [{ name: said[0], words: said[1], extra: true }]
    })
  return [
    ...extra(above),
    ...slots.map((name): Layer => ({ name, words: ofSlots[name], extra: false })),
    ...extra(below)
  ]
}

const last = "your function or the transport"

/** From left to right by layer, how tall a row is, and where its words are. */
const layouts = {
  wide: { step: 13, row: 27, words: (x: number, y: number) => [x + 172, y] as const },
  narrow: { step: 2.5, row: 40, words: (x: number, y: number) => [x, y + 17] as const }
}

export const order = (): Drawing => {
  const all = layers()
  const inside = all.findIndex(({ name }) => name === "retry") + 1
  const names = (some: ReadonlyArray<Layer>) =>
    some.map(({ extra, name }) => extra ? `${name} (client)` : name).join(", ")
  return {
    title: "What stands around a call",
    alternative: `Outside in. Once for the call: ${names(all.slice(0, inside))}. Once for each attempt: ${
      names(all.slice(inside))
    }; then ${last}.`,
    draw: (width) => {
      const { row, step, words } = layouts[width]
      const right = widths[width] - 2
      const top = width === "wide" ? 34 : 56
      const band = 30
      const yOf = (i: number) => top + band + i * row + (i >= inside ? band : 0)
      const bottom = yOf(all.length) + row + 4
      const tint = yOf(inside) - band + 4
      const height = bottom + 8
      const legend = width === "wide" ? 230 : 8
      return {
        height,
        shapes: [
          `<path class="part" d="M8 18h22"/>`,
          text(38, 22, "in a pipeline and a client"),
          `<path class="extra" d="M${legend} ${width === "wide" ? 18 : 40}h22"/>`,
          text(legend + 30, width === "wide" ? 22 : 44, "only in a client"),
          text(8, top + 18, "Once for the call", "band"),
          `<rect class="tint" x="0" y="${tint}" width="${widths[width]}" height="${bottom - tint + 4}"/>`,
          text(inside * step + 8, tint + 20, "Once for each attempt", "band"),
          ...all.flatMap(({ extra, name, words: said }, i) => {
            const x = 4 + i * step
            const y = yOf(i)
            const [wordsX, wordsY] = words(x + 8, y + 18)
            return [
              `<path class="line" d="M${x} ${y}H${right}"/>`,
              `<path class="line" d="M${x} ${y}V${bottom}"/>`,
              `<path class="${extra ? "extra" : "part"}" d="M${x} ${y}V${
                yOf(i + 1) - (i + 1 === inside ? band : 0)
              }"/>`,
              text(x + 8, y + 18, name, "name"),
              text(wordsX, wordsY, said)
            ]
          }),
          `<path class="line" d="M${4 + all.length * step} ${yOf(all.length)}H${right}"/>`,
          text(4 + all.length * step + 8, yOf(all.length) + 18, last, "name")
        ]
      }
    }
  }
}

/** What an editor shows: the language server of the compiler that the repository has, asked for hovers. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath, pathToFileURL } from "node:url"

const tsc = fileURLToPath(new URL("./bin/tsc", import.meta.resolve("typescript/package.json")))

interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: { readonly items?: ReadonlyArray<unknown> }
  readonly result?: { readonly contents?: { readonly value?: string } } | null
}

/** The language server protocol, as far as it is needed here. */
class Connection {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, (message: Message) => void>()
  #buffer = Buffer.alloc(0)
  #last = 0

  constructor() {
    this.#process = spawn(process.execPath, [tsc, "--lsp", "--stdio"], { stdio: ["pipe", "pipe", "ignore"] })
    this.#process.stdout?.on("data", (data: Buffer) => this.#read(data))
  }

  send(message: object): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message })
    this.#process.stdin?.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`)
  }

  request(method: string, params?: object): Promise<Message> {
    const id = ++this.#last
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      this.send({ id, method, params })
    })
  }

  end(): void {
    this.#process.kill()
  }

  #read(data: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, data])
    for (;;) {
      const head = this.#buffer.indexOf("\r\n\r\n")
      if (head < 0) return
      const length = Number(/Content-Length: (\d+)/.exec(this.#buffer.toString("latin1", 0, head))?.[1])
      const end = head + 4 + length
      if (this.#buffer.length < end) return
      const message: Message = JSON.parse(this.#buffer.toString("utf8", head + 4, end))
      this.#buffer = this.#buffer.subarray(end)
      if (message.id === undefined) continue
      if (message.method === undefined) this.#waiting.get(message.id)?.(message)
      // What the server asks of its client, which has no settings.
      else this.send({ id: message.id, result: message.params?.items?.map(() => null) ?? null })
    }
  }
}

/**
 * The hovers of a file of TypeScript at the marks in it: a comment `// ^?` below a line, whose caret points at a name. Each has the line
 * that it belongs to.
 */
export const hovers = async (
  file: string,
  code: string
): Promise<ReadonlyArray<{ readonly line: string; readonly hover: string }>> => {
  const lines = code.split("\n")
  const uri = pathToFileURL(file).href
  const server = new Connection()
  try {
    const capabilities = { textDocument: { hover: { contentFormat: ["markdown"] } } }
    await server.request("initialize", { processId: process.pid, rootUri: null, capabilities })
    server.send({ method: "initialized", params: {} })
    const textDocument = { uri, languageId: "typescript", version: 1, text: code }
    server.send({ method: "textDocument/didOpen", params: { textDocument } })
    const found: Array<{ readonly line: string; readonly hover: string }> = []
    for (const [i, mark] of lines.entries()) {
      const character = /^\s*\/\/\s*\^\?/.test(mark) ? mark.indexOf("^") : -1
      if (character < 0) continue
      const position = { line: i - 1, character }
      const { result } = await server.request("textDocument/hover", { textDocument: { uri }, position })
      found.push({ line: (lines[i - 1] ?? "").trim(), hover: result?.contents?.value?.trim() ?? "nothing" })
    }
    return found
  } finally {
    server.end()
  }
}

import * as Hashing from "@effect-resilience/upload/Hashing"
import { Worker } from "node:worker_threads"
import type { Slot, SlotMemory } from "./slotMemory.ts"

/** A thread that computes digests until it is closed, or ends by itself. It holds the process up only while it has to. */
export class HashingThread {
  private readonly memory: SlotMemory
  private readonly worker: Worker
  private readonly jobs = new Map<number, Job>()
  private begun = 0
  private cause = "it ended"

  /** Throws where threads are not to be had. */
  constructor(memory: SlotMemory, onEnd: () => void) {
    // Of the process nothing else goes along: neither its secrets nor what it was told to load first.
    const options = { workerData: memory.shared, env: {}, execArgv: [], name: "hashing" }
    this.memory = memory
    this.worker = new Worker(program, { ...options, eval: true })
    this.worker.unref()
    this.worker.on("message", ({ digest, id }: Answer) => this.jobs.get(id)?.answered(digest))
    this.worker.on("error", ({ message }) => {
      this.cause = message
    })
    this.worker.on("exit", () => {
      onEnd()
      const error = new Hashing.HashingError({ description: `a thread was lost (${this.cause})` })
      for (const job of this.jobs.values()) job.lost(error)
      this.jobs.clear()
    })
  }

  /** How much work is under way. */
  get load(): number {
    let load = 0
    for (const { algorithm } of this.jobs.values()) load += costs[algorithm]
    return load
  }

  begin(algorithm: Hashing.Algorithm): Job {
    const id = this.begun++
    const post = (part: Part) => this.worker.postMessage({ ...part, algorithm, id }, [])
    const job = new Job(algorithm, this.memory, post, () => {
      this.jobs.delete(id)
      if (this.jobs.size === 0) this.worker.unref()
    })
    this.jobs.set(id, job)
    this.worker.ref()
    return job
  }

  close(): Promise<unknown> {
    return this.worker.terminate()
  }
}

/** One digest in the making. */
export class Job {
  readonly algorithm: Hashing.Algorithm
  digest: string | undefined
  failure: Hashing.HashingError | undefined
  onSettled = () => {}
  private readonly memory: SlotMemory
  private readonly post: (part: Part) => void
  private readonly onDone: () => void
  private readonly reading: Array<Slot> = []
  private ended = false

  constructor(
    algorithm: Hashing.Algorithm,
    memory: SlotMemory,
    post: (part: Part) => void,
    onDone: () => void
  ) {
    this.algorithm = algorithm
    this.memory = memory
    this.post = post
    this.onDone = onDone
  }

  /** Reads the beginning of a slot. */
  update(slot: Slot, length: number): void {
    this.reading.push(slot)
    this.post({ offset: slot.offset, length })
  }

  /** Asks for the digest. Nothing can follow. */
  end(): void {
    if (this.ended) return
    this.ended = true
    this.post({})
  }

  answered(digest: string | undefined): void {
    if (digest === undefined) return this.release()
    this.digest = digest
    this.onDone()
    this.onSettled()
  }

  lost(error: Hashing.HashingError): void {
    this.failure = error
    while (this.reading.length > 0) this.release()
    this.onSettled()
  }

  // Answers come in the order of the slots.
  private release(): void {
    const slot = this.reading.shift()
    if (slot !== undefined) this.memory.release(slot)
  }
}

/** Of the memory; without one, the digest is asked for. */
interface Part {
  readonly offset?: number
  readonly length?: number
}

/** Without a digest it says that one slot has been read. */
interface Answer {
  readonly id: number
  readonly digest?: string
}

const costs: { readonly [algorithm in Hashing.Algorithm]: number } = { md5: 2, sha256: 1 }

// A string: a file beside the module would be one that bundlers leave behind.
const program = `
  const { createHash } = require("node:crypto")
  const { parentPort, workerData: memory } = require("node:worker_threads")
  const hashes = new Map()
  parentPort.on("message", ({ algorithm, id, length, offset }) => {
    const hash = hashes.get(id) ?? createHash(algorithm)
    if (length === undefined) {
      hashes.delete(id)
      parentPort.postMessage({ id, digest: hash.digest("hex") })
    } else {
      hashes.set(id, hash.update(new Uint8Array(memory, offset, length)))
      parentPort.postMessage({ id })
    }
  })
`

import * as Hashing from "@effect-resilience/upload/Hashing"
import { Worker } from "node:worker_threads"
import type { Slot, SlotMemory } from "./slotMemory.ts"

/** A thread that computes digests until it is closed or ends unexpectedly. It keeps the process alive only while it has work. */
export class HashingThread {
  private readonly memory: SlotMemory
  private readonly worker: Worker
  private readonly jobs = new Map<number, Job>()
  private begun = 0
  private cause = "it ended"

  /** Throws if threads are unavailable. */
  constructor(memory: SlotMemory, onEnd: () => void) {
    // The thread gets nothing else of the process: neither its secrets nor the modules that it preloads.
    const options = { workerData: memory.shared, env: {}, execArgv: [], name: "hashing" }
    this.memory = memory
    this.worker = new Worker(program, { ...options, eval: true })
    this.worker.unref()
    this.worker.on("message", ({ digest, id }: Progress) => this.jobs.get(id)?.progressed(digest))
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

  /** How many digests it computes. */
  get load(): number {
    return this.jobs.size
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

  /** Asks for the digest, after the last update. */
  end(): void {
    if (this.ended) return
    this.ended = true
    this.post({})
  }

  progressed(digest: string | undefined): void {
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

  // The thread reads slots in order.
  private release(): void {
    const slot = this.reading.shift()
    if (slot !== undefined) this.memory.release(slot)
  }
}

/** A part of the memory to read; without an offset, a request for the digest. */
interface Part {
  readonly offset?: number
  readonly length?: number
}

/** Without a digest, one slot has been read. */
interface Progress {
  readonly id: number
  readonly digest?: string
}

// A string, since bundlers leave a file beside the module behind.
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

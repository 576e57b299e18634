import type * as Hashing from "@effect-resilience/upload/Hashing"
import * as Effect from "effect/Effect"
import { HashingThread, type Job } from "./hashingThread.ts"
import { slotBytes, SlotMemory } from "./slotMemory.ts"

/** Threads, started when they are needed, and the memory that they share. */
export class HashingPool {
  private readonly limit: number
  private readonly memory: SlotMemory
  private readonly threads: Array<HashingThread> = []
  private usable = true

  constructor(limit: number) {
    this.limit = limit
    this.memory = new SlotMemory(limit * slotsPerThread)
  }

  /** One job for each algorithm; `undefined` if threads are unavailable. */
  begin(algorithms: ReadonlyArray<Hashing.Algorithm>): ReadonlyArray<Job> | undefined {
    const jobs: Array<Job> = []
    for (const algorithm of algorithms) {
      const thread = this.idlest()
      if (thread === undefined) {
        for (const job of jobs) job.end()
        return undefined
      }
      jobs.push(thread.begin(algorithm))
    }
    return jobs
  }

  hasher(jobs: ReadonlyArray<Job>): Hashing.Hasher {
    const failure = () => jobs.find((job) => job.failure !== undefined)?.failure
    const write = (bytes: Uint8Array) =>
      Effect.callback<void, Hashing.HashingError>((resume) => {
        const cancel = this.memory.use((slot) => {
          const error = failure()
          if (error !== undefined) {
            resume(Effect.fail(error))
            return 0
          }
          slot.bytes.set(bytes)
          for (const job of jobs) job.update(slot, bytes.length)
          resume(Effect.void)
          return jobs.length
        })
        return cancel === undefined ? undefined : Effect.sync(cancel)
      })
    return {
      update: (chunk) => chunk.length <= slotBytes ? write(chunk) : Effect.forEach(inSlots(chunk), write, discard),
      digest: Effect.callback((resume) => {
        const settle = () => {
          const error = failure()
          if (error !== undefined) resume(Effect.fail(error))
          else if (jobs.every(({ digest }) => digest !== undefined)) {
            resume(Effect.succeed(Object.fromEntries(jobs.map(({ algorithm, digest }) => [algorithm, digest]))))
          }
        }
        for (const job of jobs) {
          job.onSettled = settle
          job.end()
        }
        settle()
      })
    }
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.usable = false
    return Effect.promise(() => Promise.all(this.threads.map((thread) => thread.close())))
  })

  private idlest(): HashingThread | undefined {
    if (!this.usable) return undefined
    const [idlest] = this.threads.toSorted((one, other) => one.load - other.load)
    if (idlest !== undefined && (idlest.load === 0 || this.threads.length === this.limit)) return idlest
    // A thread that cannot be started or ends unexpectedly is not started again.
    const giveUp = () => {
      this.usable = false
    }
    try {
      const thread = new HashingThread(this.memory, giveUp)
      this.threads.push(thread)
      return thread
    } catch {
      giveUp()
      return undefined
    }
  }
}

const inSlots = (chunk: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from(
    { length: Math.ceil(chunk.length / slotBytes) },
    (_, index) => chunk.subarray(index * slotBytes, (index + 1) * slotBytes)
  )

const discard = { discard: true } as const

// The next slot is filled while the thread reads one.
const slotsPerThread = 2

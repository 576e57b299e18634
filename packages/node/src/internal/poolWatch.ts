import * as Transport from "@effect-resilience/errors/Transport"
import * as Timers from "node:timers"

/**
 * - `connections`: how many an origin has, or a proxy that forwards to several.
 * - `poolTimeout`: in milliseconds, how long a request may wait for one; 0 for no limit.
 * - `http2`: whether an origin may speak HTTP/2.
 */
export interface Options {
  readonly connections: number
  readonly poolTimeout: number
  readonly http2: boolean
}

/** A request that waits for a connection or has one. */
export interface Watched {
  /** Whose connections it uses. */
  readonly pool: string
  readonly reached: Transport.Reached
  /** The `now` at which it began to wait for a connection, then for its response to be read. */
  readonly since: number
  /** Whether its response keeps a connection, has filled what is read ahead, and nothing has read it since that look. */
  isUnreadSince(look: number): boolean
  abort(reason: Error): void
}

/**
 * Looks at all requests four times a second. It ends those that have waited too long for a connection and, if all connections
 * of a pool are in use and others wait, those whose response nothing has begun to read.
 */
export class PoolWatch {
  /** How many looks there have been. */
  now = 0
  private readonly options: Options
  private readonly running = new Set<Watched>()
  private watching = false

  constructor(options: Options) {
    this.options = options
  }
  begin(request: Watched): void {
    this.running.add(request)
    if (this.watching) return
    this.watching = true
    this.wait()
  }
  end(request: Watched): void {
    this.running.delete(request)
  }
  private wait(): void {
    Timers.setTimeout(() => this.look(), lookMillis).unref()
  }
  private look(): void {
    this.now++
    if (this.running.size === 0) {
      this.watching = false
      return
    }
    this.free()
    this.wait()
  }
  private free(): void {
    const { options: { connections, http2, poolTimeout }, running } = this
    const waiting: Array<Watched> = []
    const inUse = new Map<string, number>()
    for (const request of running) {
      if (request.reached === "nothing") waiting.push(request)
      else inUse.set(request.pool, (inUse.get(request.pool) ?? 0) + 1)
    }
    const late = poolTimeout === 0 ? Infinity : Math.ceil(poolTimeout / lookMillis)
    for (const request of waiting) {
      if (this.now - request.since > late) {
        const used = inUse.get(request.pool) ?? 0
        request.abort(new NoConnection(http2 ? used === 0 : used < connections))
      }
    }
    for (const [pool, used] of inUse) {
      let wanted = used < connections ? 0 : waiting.filter((request) => request.pool === pool).length
      if (wanted === 0) continue
      for (const request of running) {
        if (wanted > 0 && request.pool === pool && request.isUnreadSince(this.now - unreadLooks)) {
          wanted--
          request.abort(new Unread())
        }
      }
    }
  }
}

const lookMillis = 250

/** After this many, a response that is not read may lose its connection. */
const unreadLooks = 4

class NoConnection extends Error {
  readonly [Transport.TransmissionId]: Transport.Transmission
  constructor(connecting: boolean) {
    super(connecting ? "no connection was made in time" : "all connections stayed in use")
    this[Transport.TransmissionId] = { reached: "nothing", kind: connecting ? "connectTimeout" : "busy" }
  }
}

class Unread extends Error {
  readonly [Transport.TransmissionId]: Transport.Transmission = { reached: "all", kind: "busy" }
  constructor() {
    super("the body was not read, and its connection was needed for another request")
  }
}

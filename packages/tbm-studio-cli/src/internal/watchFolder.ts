import * as Recovery from "@effect-resilience/errors/Recovery"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as units from "./units.ts"
import type * as WatchRules from "./watchRules.ts"
import * as words from "./words.ts"

/**
 * - `new`: not decided.
 * - `done`: stored, now or earlier.
 * - `stuck`: failed, or a person must decide. Nothing happens until the file changes.
 * - `later`: it is tried again when it is time.
 * - `rejected`: it is never sent; `why` says it.
 */
export type State = "new" | "done" | "stuck" | "later" | "rejected"

/** A file of the directory, as it was when it was looked at. */
export interface Arrival {
  /** The same for all spellings of accents. */
  readonly name: string
  readonly path: string
  readonly version: string
  readonly modified: number
  /** When it was first seen like this, in monotonic milliseconds. */
  readonly since: number
  readonly found: WatchRules.Found | undefined
  state: State
  why: string | undefined
  /** When it is tried again. */
  at: number
}

/** An arrival that a rule gives a place. */
export interface Sendable extends Arrival {
  readonly found: Extract<WatchRules.Found, { readonly _tag: "Send" }>
}

export const isSendable = (arrival: Arrival): arrival is Sendable => arrival.found?._tag === "Send"

export class UnreadableFolder extends Data.TaggedError("UnreadableFolder")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
}

/** The files of a directory, and what became of them. What is known of a file is forgotten when it changes. */
export class Folder {
  readonly directory: string
  private readonly rules: WatchRules.WatchRules
  private readonly settle: number
  private arrivals = new Map<string, Arrival>()
  private markers = new Map<string, number>()

  constructor(directory: string, rules: WatchRules.WatchRules, settleMillis: number) {
    this.directory = directory
    this.rules = rules
    this.settle = settleMillis
  }

  get(name: string): Arrival | undefined {
    return this.arrivals.get(name)
  }

  get all(): ReadonlyArray<Arrival> {
    return [...this.arrivals.values()]
  }

  /** Looks at all files. `onNew` receives each that was not here, or has changed. */
  look(now: number, onNew: (arrival: Arrival) => void) {
    return Effect.gen({ self: this }, function*() {
      const fs = yield* FileSystem.FileSystem
      const paths = yield* Path.Path
      const names = yield* Effect.mapError(
        fs.readDirectory(this.directory),
        ({ reason }) =>
          new UnreadableFolder({ message: `${this.directory} cannot be read: ${words.ofSystem(reason)}.` })
      )
      const arrivals = new Map<string, Arrival>()
      const markers = new Map<string, number>()
      const once = new Set<string>()
      const twice = new Set<string>()
      for (const name of names.map((name) => name.normalize("NFC"))) (once.has(name) ? twice : once).add(name)
      yield* Effect.forEach(names.filter((name) => !name.startsWith(".")), (spelled) => {
        const name = spelled.normalize("NFC")
        const found = this.rules.find(name)
        if (found?._tag === "Ignore") return Effect.void
        const path = paths.join(this.directory, spelled)
        return Effect.matchEffect(fs.stat(path), {
          onFailure: ({ reason }) =>
            Effect.match(fs.readLink(path), {
              onFailure: () => {
                const why = unreachable(name, reason)
                if (why !== undefined) arrivals.set(name, this.seen(name, path, found, why, now, onNew))
              },
              onSuccess: () => void arrivals.set(name, this.seen(name, path, found, isLink, now, onNew))
            }),
          onSuccess: (info) =>
            Effect.sync(() => {
              if (info.type === "Directory") return
              if (found?._tag === "Marker") markers.set(found.of, modifiedOf(info))
              else if (twice.has(name)) arrivals.set(name, this.seen(name, path, found, ambiguous, now, onNew))
              else arrivals.set(name, this.seen(name, path, found, info, now, onNew))
            })
        })
      }, { concurrency: 32, discard: true })
      this.arrivals = arrivals
      this.markers = markers
    })
  }

  private seen(
    name: string,
    path: string,
    found: WatchRules.Found | undefined,
    info: FileSystem.File.Info | string,
    now: number,
    onNew: (arrival: Arrival) => void
  ): Arrival {
    const why = typeof info === "string" ? info : unsuitable(info)
    // Another owner does not change the version of a file.
    const version = typeof info === "string" || why !== undefined ? `${why}` : UploadSource.versionOf(info)
    const known = this.arrivals.get(name)
    if (known !== undefined && known.version === version) return known
    const modified = typeof info === "string" ? 0 : modifiedOf(info)
    const arrival: Arrival = {
      name,
      path,
      version,
      modified,
      since: now,
      found,
      state: "new",
      why: undefined,
      at: 0
    }
    if (why !== undefined) reject(arrival, why)
    else onNew(arrival)
    return arrival
  }

  /** Why a file is not whole yet, for people; `undefined` if it is. */
  waitsFor(arrival: Arrival, now: number): string | undefined {
    const marker = isSendable(arrival) ? arrival.found.match.marker : undefined
    if (marker === undefined) {
      return now - arrival.since < this.settle
        ? `it has changed within the last ${units.duration(this.settle)}`
        : undefined
    }
    const marked = this.markers.get(arrival.name)
    if (marked === undefined) return `it waits for ${marker}`
    return marked < arrival.modified ? `it is newer than ${marker}, which must be written when it is whole` : undefined
  }

  /** Rejects the files that no rule is for, when they are whole. */
  rejectUnmatched(now: number): void {
    for (const arrival of this.arrivals.values()) {
      if (arrival.state !== "new" || isSendable(arrival) || this.waitsFor(arrival, now) !== undefined) continue
      reject(arrival, arrival.found?._tag === "Invalid" ? arrival.found.why : "No rule is for a file of this name.")
    }
  }

  /**
   * The files that can be sent, in the order in which they were last written, and those that are held back. One that is not done
   * holds back what came after it for the same table and period: `by` has the first of each.
   */
  ready(
    now: number,
    concerned: (arrival: Arrival) => boolean
  ): {
    readonly ready: ReadonlyArray<Sendable>
    readonly held: ReadonlyArray<Sendable>
    readonly by: (held: Sendable) => Sendable | undefined
  } {
    const blocked = new Map<string, Sendable>()
    const ready: Array<Sendable> = []
    const held: Array<Sendable> = []
    const inOrder = this.all.filter(isSendable).toSorted((a, b) =>
      a.modified - b.modified || (a.name < b.name ? -1 : 1)
    )
    for (const arrival of inOrder) {
      if (isSettled(arrival)) continue
      const place = TableAddress.key(arrival.found.match.address)
      const whole = this.waitsFor(arrival, now) === undefined
      if (arrival.state === "new" && whole && concerned(arrival) && blocked.has(place)) held.push(arrival)
      else if (
        whole && concerned(arrival) && !blocked.has(place) &&
        (arrival.state === "new" || (arrival.state === "later" && arrival.at <= now))
      ) {
        ready.push(arrival)
      } else if (!blocked.has(place)) blocked.set(place, arrival)
    }
    return { ready, held, by: ({ found }) => blocked.get(TableAddress.key(found.match.address)) }
  }

  /** Whether a file may be whole when it has stayed as it is for long enough. */
  hasYoung(now: number): boolean {
    return this.all.some((arrival) => arrival.state === "new" && now - arrival.since < this.settle)
  }

  /** When something may be due that no event tells, at the latest after `interval`. */
  nextLook(now: number, interval: number): number {
    let next = now + interval
    for (const arrival of this.arrivals.values()) {
      if (arrival.state === "later") next = Math.min(next, arrival.at)
      if (arrival.state === "new" && now - arrival.since < this.settle) {
        next = Math.min(next, arrival.since + this.settle)
      }
    }
    return Math.max(0, next - now)
  }

  /** Forgets a file, so that it counts as new when it is seen again. */
  forget({ name }: Arrival): void {
    this.arrivals.delete(name)
  }
}

/** Whether it holds back nothing that came after it. */
export const isSettled = ({ state }: Arrival): boolean => state === "done" || state === "rejected"

export const reject = (arrival: Arrival, why: string): void => {
  arrival.state = "rejected"
  arrival.why = why
}

const ambiguous = "Two files have this name, with an accent written in two ways: rename one."

export const isLink = "It is a link: only files are sent."

/** Why a name in the folder leads to no file, for people; `undefined` if the file is gone by now. */
const unreachable = (name: string, reason: PlatformError.PlatformError["reason"]): string | undefined => {
  if (reason._tag !== "NotFound") return `It cannot be looked at: ${words.ofSystem(reason)}.`
  // Names that are not UTF-8 arrive with this character in place of their own.
  return name.includes("\uFFFD") ? "Its name is not UTF-8, so it cannot be opened: rename it." : undefined
}

/** Why what was opened or looked at is never sent. */
export const unsuitable = ({ type, uid }: FileSystem.File.Info): string | undefined => {
  if (type !== "File") return `It is ${typeNames[type] ?? "no regular file"}: only files are sent.`
  const user = process.getuid?.()
  const owner = Option.getOrUndefined(uid)
  return user === undefined || owner === undefined || owner === user
    ? undefined
    : `It belongs to another user (uid ${owner}): only your own files are sent.`
}

const typeNames: { readonly [type in FileSystem.File.Type]?: string } = {
  FIFO: "a pipe",
  Socket: "a socket",
  BlockDevice: "a device",
  CharacterDevice: "a device"
}

const modifiedOf = ({ mtime }: FileSystem.File.Info): number => Option.match(mtime, { onNone: () => 0, onSome: Number })

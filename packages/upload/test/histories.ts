// Random histories of a list of uploads: runs that fail and die, and people who correct, rename, touch, add and remove what
// is listed. Beside them, what the tables hold.
import { ApiError } from "@effect-resilience/errors"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Batch, Journal, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { Deferred, Duration, Effect, Layer, Stream } from "effect"

interface File {
  name: string
  content: string
  version: string | undefined
}

interface Row {
  readonly file: File
  readonly place: string
  readonly action: "overwrite" | "append"
}

type Count = Map<string, number>

const count = (contents: Iterable<string>): Count => {
  const counts: Count = new Map()
  for (const content of contents) counts.set(content, (counts.get(content) ?? 0) + 1)
  return counts
}

/** Numbers that look random, alike for one seed. */
const random = (seed: number) => {
  let state = seed * 2_654_435_761 >>> 0
  return (below: number): number => {
    state = state + 0x6d2b79f5 >>> 0
    let t = Math.imul(state ^ state >>> 15, state | 1)
    t ^= t + Math.imul(t ^ t >>> 7, t | 61)
    return ((t ^ t >>> 14) >>> 0) % below
  }
}

const once = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })

/**
 * Plays a history, and fails with what was lost, doubled or left without a word.
 *
 * - While no answer was given for a place, no content was added to it more often than a list held it.
 * - A run that ends well leaves each place that its list overwrites exactly as the list says, and every addition of a place
 *   that it does not overwrite at least as often as the list says.
 */
export const play = Effect.fnUntraced(function*(seed: number) {
  const pick = random(seed)
  const one = <A>(items: ReadonlyArray<A>): A => items[pick(items.length)] as A
  const log: Array<string> = []
  const context = yield* Layer.build(Layer.fresh(Journal.layerMemory))
  const stored = yield* Effect.provide(Journal.Journal, context)

  const tables = new Map<string, Array<string>>()
  const appended = new Map<string, Array<string>>()
  const peaks = new Map<string, Count>()
  const answered = new Set<string>()
  const places = ["P", "Q"].slice(0, 1 + pick(2))
  let named = 0
  let stamped = 0
  const stamp = () => one([`v${++stamped}`, `v${++stamped}`, `v${++stamped}`, undefined])
  const newFile = (): File => ({ name: `f${++named}`, content: one(["x", "y", "z", `c${named}`]), version: stamp() })
  const newRow = (): Row => ({ file: newFile(), place: one(places), action: one(["overwrite", "append", "append"]) })
  const rows: Array<Row> = Array.from({ length: 1 + pick(5) }, newRow)

  const edit = (): string => {
    const row = one(rows)
    if (row === undefined) return void rows.push(newRow()), "add"
    switch (pick(8)) {
      case 0:
        row.file.content = `c${++named}`
        row.file.version = stamp()
        return `correct ${row.file.name}`
      case 1: {
        const before = row.file.name
        row.file.name = `f${++named}`
        return `rename ${before} ${row.file.name}`
      }
      case 2:
        row.file.version = stamp()
        return `touch ${row.file.name}`
      case 3: {
        const row = newRow()
        rows.splice(pick(rows.length + 1), 0, row)
        return `add ${row.action} ${row.file.name}=${row.file.content} to ${row.place}`
      }
      case 4: {
        const [removed] = rows.splice(pick(rows.length), 1)
        return `remove ${removed?.file.name}`
      }
      case 5:
        rows.push({ ...row, file: { ...row.file, name: `f${++named}` } })
        return `again ${row.file.name} as f${named}`
      case 6: {
        // A file moves to another's name, and another one takes its own.
        const before = row.file.name
        row.file.name = `f${++named}`
        rows.push({ ...row, file: { ...newFile(), name: before } })
        return `move ${before} ${row.file.name}, and a new ${before}`
      }
      default: {
        const [moved] = rows.splice(pick(rows.length), 1)
        if (moved !== undefined) rows.splice(pick(rows.length + 1), 0, moved)
        return `reorder ${moved?.file.name}`
      }
    }
  }

  const run = Effect.fnUntraced(function*(trouble: number, onUnknown: Journal.OnUnknown, onChanged: Journal.OnChanged) {
    const listed = rows.map((row) => ({ ...row, file: { ...row.file } }))
    for (const place of places) {
      const peak = peaks.get(place) ?? new Map()
      const appends = listed.filter((row) => row.place === place && row.action === "append")
      const now = count(appends.map(({ file }) => file.content))
      for (const [content, n] of now) peak.set(content, Math.max(n, peak.get(content) ?? 0))
      peaks.set(place, peak)
    }
    const died = yield* Deferred.make<void>()
    let dead = false
    const die = Effect.suspend(() => {
      dead = true
      return Effect.andThen(Deferred.succeed(died, undefined), Effect.never)
    })
    const apply = ({ action, file, place }: Row) => {
      const replaced = action === "overwrite"
      tables.set(place, [...replaced ? [] : tables.get(place) ?? [], file.content])
      appended.set(place, replaced ? [] : [...appended.get(place) ?? [], file.content])
    }
    const fail = (reason: ApiError.Reason) =>
      Effect.fail(new ApiError.ApiError({ method: "POST", endpoint: "/x", reason }))
    const lost = new ApiError.Timeout({ after: Duration.seconds(1), phase: "answer" })
    const target: UploadTarget.UploadTarget<Row, string, ApiError.ApiError> = {
      method: "POST",
      operation: ({ action }) => ({ name: action, endpoint: "/x", idempotent: action === "overwrite" }),
      source: ({ file }) => {
        const source = UploadSource.bytes(file.name, file.content)
        return { ...source, open: Effect.map(source.open, (opened) => ({ ...opened, version: file.version })) }
      },
      key: ({ place }) => place,
      digests: pick(2) === 0 ? ["md5"] : [],
      send: (row, payload) =>
        Effect.gen(function*() {
          if (dead) return yield* Effect.never
          const trip = pick(100) < trouble ? pick(6) : 6
          if (trip === 0) return yield* fail(ApiError.reasonFromStatus(404))
          yield* Stream.runDrain(payload.stream)
          if (trip === 1) return yield* fail(ApiError.reasonFromStatus(425))
          if (dead) return yield* Effect.never
          if (trip === 2) return yield* die
          if (trip !== 3) apply(row)
          if (trip === 4) return yield* die
          if (trip === 3 || trip === 5) {
            return yield* fail(row.action === "overwrite" ? lost : new ApiError.OutcomeUnknown({ failure: lost }))
          }
          return { receipt: "" }
        })
    }
    const journal: Journal.Journal["Service"] = {
      ...stored,
      record: (entry, durable) =>
        Effect.suspend(() => {
          if (dead) return Effect.void
          const trip = pick(100) < trouble / 4 ? pick(2) : 2
          if (trip === 0) return die
          const recorded = stored.record(entry, durable)
          return trip === 1 ? Effect.andThen(recorded, die) : recorded
        })
    }
    const batch = Batch.resume(target, listed, { onUnknown, onChanged, concurrency: 1 + pick(3), policy: once }).pipe(
      Effect.provideService(Journal.Journal, journal)
    )
    const summary = yield* Effect.raceFirst(Effect.orDie(batch), Effect.as(Deferred.await(died), undefined))
    log.push(
      `run ${onUnknown} ${onChanged} of ${
        listed.map(({ action, file, place }) => `${action} ${file.name}=${file.content}@${file.version} to ${place}`)
          .join(", ")
      }: ${
        summary?.results.map((result) =>
          result._tag === "Skipped"
            ? result.why
            : result._tag === "Failed" && "reason" in result.error
            ? result.error.reason._tag
            : result._tag
        ).join(", ") ?? "killed"
      }; holds ${JSON.stringify([...tables])}`
    )
    for (
      const { action, at: _, bytes, md5, name, ordinal, place, state, version } of yield* Stream.runCollect(
        stored.entries
      )
    ) {
      log.push(`  ${place} ${ordinal} ${action} ${name} ${state} ${version} ${bytes} ${md5}`)
    }
    for (const result of summary?.results ?? []) {
      const answer = result._tag === "Skipped" && result.why === "assumed"
      if (answer) answered.add(result.item.place)
    }
    if (onUnknown !== "fail" || onChanged !== "fail") { for (const place of places) answered.add(place) }

    const ended = summary?.results.every(({ _tag }) => _tag === "Uploaded" || _tag === "Skipped") === true
    const assumed = new Set(
      summary?.results.flatMap((result) =>
        result._tag === "Skipped" && result.why === "assumed" ? [result.item.place] : []
      )
    )
    for (const place of places) {
      const table = tables.get(place) ?? []
      const held = count(table)
      if (!answered.has(place)) {
        for (const [content, n] of count(appended.get(place) ?? [])) {
          if (n > (peaks.get(place)?.get(content) ?? 0)) return yield* Effect.die(report(seed, log, place, "doubled"))
        }
      }
      if (!ended || assumed.has(place)) continue
      const own = listed.filter((row) => row.place === place)
      const last = own.findLastIndex(({ action }) => action === "overwrite")
      const wanted = count(own.slice(Math.max(0, last)).map(({ file }) => file.content))
      const exact = last >= 0
      for (const content of new Set([...held.keys(), ...wanted.keys()])) {
        const [n = 0, least = 0] = [held.get(content), wanted.get(content)]
        if (n < least) return yield* Effect.die(report(seed, log, place, "lost"))
        if (exact && n > least) return yield* Effect.die(report(seed, log, place, "surplus"))
      }
      if (exact && table[0] !== own[last]?.file.content) {
        return yield* Effect.die(report(seed, log, place, "another base"))
      }
    }
    return ended
  })

  for (let step = 0; step < 4; step++) {
    yield* run(60, "fail", "fail")
    for (let edits = pick(3); edits > 0; edits--) log.push(edit())
  }
  // In the end nothing goes wrong, and a person answers every question.
  if (yield* run(0, "fail", "fail")) return
  const ended = yield* run(0, "retry", "send")
  if (!ended) return yield* Effect.die(report(seed, log, "all", "stuck"))
  if (!(yield* run(0, "fail", "fail"))) return yield* Effect.die(report(seed, log, "all", "asked again"))
}, Effect.scoped)

const report = (seed: number, log: ReadonlyArray<string>, place: string, what: string): Error =>
  new Error(`seed ${seed}, ${place}: ${what}\n${log.join("\n")}`)

// Random histories of a list of uploads: runs that fail, are stopped, die and lose their power, people who correct, rename,
// touch, add and remove what is listed, and who choose what they are asked about. Beside them, what the tables contain.
import { ApiError, Recovery } from "@effect-resilience/errors"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Batch, Journal, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { Context, Deferred, Duration, Effect, Layer, Stream } from "effect"

interface File {
  name: string
  content: string
  version: string | undefined
  /** Whether it can be read again; otherwise only its version identifies its content, if it has one. */
  readonly replayable: boolean
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
 * - While no choice was made for a place but the true one, no content was added to it more often than a list contained it.
 * - A run that ends well leaves each place that its list overwrites exactly as the list says, and every addition of a place
 *   that it does not overwrite at least as often as the list says.
 * - What one run sends to a place from an overwrite on is there in the list's order.
 * - A run that received the true choice leads to no further question.
 */
export const play = Effect.fnUntraced(function*(seed: number) {
  const pick = random(seed)
  const one = <A>(items: ReadonlyArray<A>): A => items[pick(items.length)] as A
  const log: Array<string> = []
  const emptyJournal = Effect.map(
    Layer.build(Layer.fresh(Journal.layerMemory)),
    (context) => Context.get(context, Journal.Journal)
  )
  let stored = yield* emptyJournal
  // A power failure leaves what was recorded durably, and some of what was recorded since.
  let written: Array<Journal.Entry> = []
  let durably = 0
  const losePower = Effect.gen(function*() {
    written = written.slice(0, durably + pick(written.length - durably + 1))
    durably = written.length
    stored = yield* emptyJournal
    for (const entry of written) yield* stored.record(entry)
    log.push("the power fails")
  })

  const tables = new Map<string, Array<string>>()
  const appended = new Map<string, Array<string>>()
  const peaks = new Map<string, Count>()
  const decided = new Set<string>()
  /** The content that each entry of the journal stands for. */
  const contents = new Map<string, string>()
  const places = ["P", "Q"].slice(0, 1 + pick(2))
  let named = 0
  let stamped = 0
  const stamp = () => one([`v${++stamped}`, `v${++stamped}`, `v${++stamped}`, undefined])
  const newFile = (): File => {
    const name = `f${++named}`
    const content = one(["x", "y", "z", `c${named}`])
    return { name, content, version: stamp(), replayable: pick(5) > 0 }
  }
  const newRow = (): Row => ({ file: newFile(), place: one(places), action: one(["overwrite", "append", "append"]) })
  const rows: Array<Row> = Array.from({ length: 1 + pick(5) }, newRow)

  const edit = (): string => {
    const row = one(rows)
    if (row === undefined) return void rows.push(newRow()), "add"
    switch (pick(9)) {
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
      case 7:
        rows.splice(pick(rows.length + 1), 0, { ...row })
        return `again ${row.file.name}`
      default: {
        const [moved] = rows.splice(pick(rows.length), 1)
        if (moved !== undefined) rows.splice(pick(rows.length + 1), 0, moved)
        return `reorder ${moved?.file.name}`
      }
    }
  }

  const run = Effect.fnUntraced(function*(
    trouble: number,
    onUnknown: Journal.OnUnknown,
    onChanged: Journal.OnChanged,
    truly = false
  ) {
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
    const lost = new ApiError.Timeout({ timeout: Duration.seconds(1), phase: "response" })
    const target: UploadTarget.UploadTarget<Row, string, ApiError.ApiError> = {
      method: "POST",
      operation: ({ action }) => ({ name: action, endpoint: "/x", idempotent: action === "overwrite" }),
      source: ({ file }) => {
        const source = UploadSource.bytes(file.name, file.content)
        const open = Effect.map(source.open, (opened) => ({ ...opened, version: file.version }))
        return { ...source, replayable: file.replayable, open }
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
    const record: typeof stored.record = (entry, durable = false) =>
      Effect.tap(stored.record(entry, durable), () =>
        Effect.sync(() => {
          written.push(entry)
          if (durable) durably = written.length
        }))
    const journal: Journal.Journal["Service"] = {
      ...stored,
      record: (entry, durable) =>
        Effect.suspend(() => {
          if (dead) return Effect.void
          const trip = pick(100) < trouble / 4 ? pick(2) : 2
          if (trip === 0) return die
          const { action, name, ordinal, place, state } = entry
          const row = listed.find((row) =>
            row.file.name === name && row.place === place && row.action === (action === "add" ? "append" : "overwrite")
          )
          const id = `${place} ${ordinal}`
          if (row !== undefined && (state === "started" || !contents.has(id))) contents.set(id, row.file.content)
          const recorded = record(entry, durable)
          return trip === 1 ? Effect.andThen(recorded, die) : recorded
        })
    }
    const turns = pick(100)
    const stop = trouble > 0 && pick(6) === 0
      ? Effect.as(Effect.repeat(Effect.yieldNow, { times: turns }), one(["finish", "abandon"] as const))
      : undefined
    const batch = Batch.runWithJournal(target, listed, {
      onUnknown,
      onChanged,
      concurrency: 1 + pick(3),
      policy: once,
      failFast: pick(4) === 0 && trouble > 0,
      stop
    }).pipe(
      Effect.provideService(Journal.Journal, journal)
    )
    const summary = yield* Effect.raceFirst(Effect.orDie(batch), Effect.as(Deferred.await(died), undefined))
    log.push(
      `run ${onUnknown} ${onChanged} of ${
        listed.map(({ action, file, place }) =>
          `${action} ${file.name}=${file.content}@${file.version}${file.replayable ? "" : " once"} to ${place}`
        )
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
      if (result._tag !== "NotStarted" || result.behind !== undefined || trouble > 0) continue
      return yield* Effect.die(report(seed, log, result.item.place, "left out"))
    }
    if (!truly && (onUnknown !== "fail" || onChanged !== "fail")) { for (const place of places) decided.add(place) }

    const ended = summary?.results.every(({ _tag }) => _tag === "Uploaded" || _tag === "Skipped") === true
    const assumed = new Set(
      summary?.results.flatMap((result) =>
        result._tag === "Skipped" && result.why === "assumed" && !truly ? [result.item.place] : []
      )
    )
    for (const place of places) {
      const table = tables.get(place) ?? []
      const held = count(table)
      if (!decided.has(place)) {
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
      const sent = summary?.results.filter(({ item }) => item.place === place).slice(Math.max(0, last)) ?? []
      if (
        exact && sent.every(({ _tag }) => _tag === "Uploaded") &&
        sent.some(({ item }, i) => item.file.content !== table[i])
      ) {
        return yield* Effect.die(report(seed, log, place, "another order"))
      }
    }
    if (summary === undefined && pick(2) === 0) yield* losePower
    // What can be read only once and has no version cannot be recognised: every run asks about an addition.
    const settled = summary?.results.every((result) =>
      result._tag === "Uploaded" || result._tag === "Skipped" ||
      (result._tag === "NotStarted" && result.behind !== undefined) ||
      (result._tag === "Failed" && result.error._tag === "UploadError" &&
        result.error.reason._tag === "ChangedSinceUpload" && !result.item.file.replayable &&
        result.item.file.version === undefined)
    ) === true
    return { ended, settled, results: stop === undefined ? summary?.results ?? [] : [] }
  })

  /** What a place certainly contains. */
  const certain = (history: ReadonlyArray<Journal.Entry>): ReadonlyArray<string> => {
    let held: Array<string> = []
    for (const { action, ordinal, place, state } of history) {
      if (state === "waiting" || state === "failed") continue
      if (action === "replace") held = []
      if (state === "uploaded") held.push(contents.get(`${place} ${ordinal}`) ?? "")
    }
    return held
  }

  /** The choice for all doubts at once that the tables show to be true, where there is one. */
  const truth = (
    results: ReadonlyArray<Batch.Result<Row, string, unknown>>,
    entries: ReadonlyArray<Journal.Entry>
  ): Journal.OnUnknown | undefined => {
    const asked = results.filter((result) =>
      result._tag === "Abandoned"
        ? result.outcomeUnknown
        : result._tag === "Failed" && result.item.action === "append" && Recovery.of(result.error)._tag === "Verify"
    )
    const histories = Map.groupBy(entries, ({ place }) => place)
    const choices = asked.map(({ item: { file, place } }): Journal.OnUnknown | undefined => {
      const of = (results: ReadonlyArray<Batch.Result<Row, string, unknown>>) =>
        results.filter(({ item }) => item.place === place && item.file.content === file.content).length
      const held = (count(tables.get(place) ?? []).get(file.content) ?? 0) -
        (count(certain(histories.get(place) ?? [])).get(file.content) ?? 0)
      return held === of(asked) ? "skip" : held === 0 ? "retry" : undefined
    })
    return choices.every((choice) => choice === choices[0]) ? choices[0] : undefined
  }

  for (let step = 0; step < 4; step++) {
    const { results } = yield* run(60, "fail", "fail")
    const choice = truth(results, yield* Stream.runCollect(stored.entries))
    if (choice !== undefined && pick(2) === 0) {
      const { ended } = yield* run(0, choice, "fail", true)
      if (ended && !(yield* run(0, "fail", "fail")).settled) {
        return yield* Effect.die(report(seed, log, "all", "asked again"))
      }
    }
    for (let edits = pick(3); edits > 0; edits--) log.push(edit())
  }
  // In the end nothing goes wrong, and a person decides every question.
  if ((yield* run(0, "fail", "fail")).ended) return
  const { ended } = yield* run(0, "retry", "send")
  if (!ended) return yield* Effect.die(report(seed, log, "all", "stuck"))
  if (!(yield* run(0, "fail", "fail")).settled) return yield* Effect.die(report(seed, log, "all", "asked again"))
}, Effect.scoped)

const report = (seed: number, log: ReadonlyArray<string>, place: string, what: string): Error =>
  new Error(`seed ${seed}, ${place}: ${what}\n${log.join("\n")}`)

/**
 * Measures the subjects of a case against each other.
 *
 * **Details**
 *
 * All subjects run in one process, in rounds. Each round has a random order of its own: a slow moment of the machine meets all of
 * them, and so does what one leaves to the garbage collector. What counts is CPU time (user and system), or the clock where a case
 * says so, and the median over the rounds.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { spawnSync } from "node:child_process"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { fileURLToPath } from "node:url"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { Case, Subject, Suite, Unit } from "./Suite.ts"

/**
 * One line of the results. `ratios` divides this median by that of each other subject.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly suite: string
  readonly case: string
  readonly subject: string
  readonly unit: Unit
  readonly median: number
  readonly p25: number
  readonly p75: number
  readonly ratios: { readonly [peer: string]: number }
}

/**
 * How long to measure: rounds, the CPU time of a run that it should at least take, and rounds of processes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Effort {
  readonly rounds: number
  readonly runMillis: number
  readonly processes: number
}

/**
 * @category constants
 * @since 0.1.0
 */
export const thorough: Effort = { rounds: 41, runMillis: 40, processes: 5 }

/**
 * @category constants
 * @since 0.1.0
 */
export const quick: Effort = { rounds: 9, runMillis: 10, processes: 1 }

/**
 * Measures one case.
 *
 * @category measuring
 * @since 0.1.0
 */
export const measure = (suite: Suite, case_: Case, effort: Effort): Effect.Effect<ReadonlyArray<Row>> =>
  case_.apart === true
    ? Effect.sync(() => measureApart(suite, case_, effort))
    : measureTogether(suite, case_, effort)

/**
 * What a process of its own reports.
 *
 * @category measuring
 * @since 0.1.0
 */
export const runApart = (
  case_: Case,
  name: string,
  subject: Subject
): Effect.Effect<{ seconds: number; wall: number; megabytes: number; late: number }> =>
  Effect.gen(function*() {
    const prepare = case_.prepare?.[name]
    if (prepare !== undefined) yield* Effect.promise(prepare)
    const delays = monitorEventLoopDelay({ resolution: 1 })
    // Its timer is not for free.
    if (case_.units?.includes("ms late") === true) delays.enable()
    const begun = process.hrtime.bigint()
    const start = process.cpuUsage()
    yield* Effect.promise(() => subject(case_.batch ?? 1))
    const { system, user } = process.cpuUsage(start)
    return {
      seconds: (system + user) / 1e6,
      wall: Number(process.hrtime.bigint() - begun) / 1e9,
      megabytes: process.resourceUsage().maxRSS / 1024,
      late: delays.percentile(99) / 1e6
    }
  })

const measureTogether = Effect.fnUntraced(function*(suite: Suite, case_: Case, effort: Effort) {
  const subjects = Object.entries(case_.subjects)
  const samples = () => new Map(subjects.map(([name]) => [name, Array<number>()]))
  const cpu = samples()
  const wall = samples()
  const calls = new Map<string, number>()
  for (const [name, subject] of subjects) calls.set(name, yield* calibrate(subject, case_, effort))
  const { units = ["ns/call"] } = case_
  for (let round = 0; round < Math.min(effort.rounds, case_.rounds ?? Infinity); round++) {
    for (const [name, subject] of yield* Random.shuffle(subjects)) {
      if (case_.collects === true) yield* collected
      let count = calls.get(name) ?? 1
      let taken = yield* nanosOf(subject, case_.batch, count)
      // Its code has become quicker since. In a short run the garbage of the others would count most.
      while (taken.cpu < leastCpu(case_, effort) / 2) {
        calls.set(name, count *= 2)
        taken = yield* nanosOf(subject, case_.batch, count)
      }
      cpu.get(name)?.push(taken.cpu / count)
      wall.get(name)?.push(taken.wall / count)
    }
  }
  return units.flatMap((unit) => rows(suite, case_, unit, unit === "ns/call on the clock" ? wall : cpu))
})

// Also warms up: by the end of it the compiler has seen each subject often.
const calibrate = Effect.fnUntraced(function*(subject: Subject, case_: Case, effort: Effort) {
  let calls = case_.batch ?? 256
  for (let warm = 0; warm < 3;) {
    const { cpu } = yield* nanosOf(subject, case_.batch, calls)
    if (cpu >= leastCpu(case_, effort)) warm++
    else calls *= 2
  }
  return calls
})

/** Of a run, in nanoseconds. */
const leastCpu = ({ longer = 1 }: Case, { runMillis }: Effort): number => longer * runMillis * 1e6

// Finalizers run in a later turn of the event loop.
const collected = Effect.suspend(() => {
  setFlagsFromString("--expose-gc")
  runInNewContext("gc")()
  return Effect.sleep("20 millis")
})

const nanosOf = Effect.fnUntraced(function*(subject: Subject, batch: number | undefined, calls: number) {
  const begun = process.hrtime.bigint()
  const start = process.cpuUsage()
  if (batch === undefined) yield* Effect.promise(() => subject(calls))
  else for (let done = 0; done < calls; done += batch) yield* Effect.promise(() => subject(batch))
  const { system, user } = process.cpuUsage(start)
  return { cpu: (system + user) * 1000, wall: Number(process.hrtime.bigint() - begun) }
})

/**
 * Runs a part of the measurements in a process of its own, and returns what it prints.
 *
 * @category measuring
 * @since 0.1.0
 */
export const inProcess = (args: ReadonlyArray<string>): string => {
  const main = fileURLToPath(new URL("main.ts", import.meta.url))
  const { signal, status, stdout } = spawnSync(process.execPath, [...process.execArgv, main, ...args], {
    encoding: "utf8",
    maxBuffer: Infinity,
    stdio: ["ignore", "pipe", "inherit"]
  })
  if (status !== 0) throw new Error(`the process that measures ${args.join(", ")} ended with ${signal ?? status}`)
  return stdout
}

const measureApart = (suite: Suite, case_: Case, effort: Effort): ReadonlyArray<Row> => {
  const seconds = new Map<string, Array<number>>()
  const wall = new Map<string, Array<number>>()
  const megabytes = new Map<string, Array<number>>()
  const late = new Map<string, Array<number>>()
  const processes = Math.min(effort.processes, case_.rounds ?? Infinity)
  for (let round = 0; round < processes; round++) {
    for (const name of Object.keys(case_.subjects)) {
      const found = JSON.parse(inProcess(["subject", suite.name, case_.name, name]))
      seconds.set(name, [...seconds.get(name) ?? [], Number(found.seconds)])
      wall.set(name, [...wall.get(name) ?? [], Number(found.wall)])
      megabytes.set(name, [...megabytes.get(name) ?? [], Number(found.megabytes)])
      late.set(name, [...late.get(name) ?? [], Number(found.late)])
    }
  }
  const { units = ["s", "MB"] } = case_
  const samples = { s: seconds, "s on the clock": wall, MB: megabytes, "ms late": late }
  return units.flatMap((unit) =>
    unit === "ns/call" || unit === "ns/call on the clock" ? [] : rows(suite, case_, unit, samples[unit])
  )
}

const rows = (
  suite: Suite,
  case_: Case,
  unit: Row["unit"],
  samples: ReadonlyMap<string, ReadonlyArray<number>>
): ReadonlyArray<Row> =>
  Array.from(samples, ([subject, values]) => {
    const median = quantile(values, 0.5)
    const ratios = Object.fromEntries(
      Array.from(samples).filter(([peer]) => peer !== subject).map((
        [peer, others]
      ) => [peer, median / quantile(others, 0.5)])
    )
    return {
      suite: suite.name,
      case: case_.name,
      subject,
      unit,
      median,
      p25: quantile(values, 0.25),
      p75: quantile(values, 0.75),
      ratios
    }
  })

const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const index = (sorted.length - 1) * q
  const low = sorted[Math.floor(index)] ?? Number.NaN
  const high = sorted[Math.ceil(index)] ?? Number.NaN
  return low + (high - low) * (index - Math.floor(index))
}

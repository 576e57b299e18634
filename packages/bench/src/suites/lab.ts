import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Lab from "@effect-resilience/lab/Lab"
import type * as Sweep from "@effect-resilience/lab/Sweep"
import * as SweepThreads from "@effect-resilience/lab/SweepThreads"
import * as VirtualTime from "@effect-resilience/lab/VirtualTime"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import type { Suite } from "../Suite.ts"

const clients = 10_000

const minutes = 10

const policy: Pipeline.Description = { name: "ledger", retry: { times: 3, backoff: { base: "100 millis" } } }

/** Clients that each send a request every ten seconds, which takes 20 ms and fails in 30 % of the cases: a fiber for each of them. */
const program = Effect.gen(function*() {
  const pipeline = yield* Pipeline.make(policy, { classify: () => Recovery.retry })
  const request = Effect.delay(
    Effect.flatMap(Random.next, (dice) => dice < 0.3 ? Effect.fail("unwell") : Effect.void),
    "20 millis"
  )
  const call = Effect.ignore(pipeline.execute(request))
  const client = Random.next.pipe(
    Effect.flatMap((share) => Effect.sleep(10_000 * share)),
    Effect.andThen(Effect.forever(Effect.andThen(call, Effect.sleep("10 seconds"))))
  )
  for (let i = 0; i < clients; i++) yield* Effect.forkDetach(client)
})

const testClock = () =>
  Effect.runPromise(
    Effect.andThen(program, TestClock.adjust(`${minutes} minutes`)).pipe(
      Effect.provide(TestClock.layer({ warningDelay: "1 hour" })),
      Effect.provideService(Random.Random, VirtualTime.random(1))
    )
  )

const virtualTime = () =>
  Effect.runPromise(Effect.sync(() => {
    const time = VirtualTime.make({ seed: 1 })
    time.fork(program)
    time.advance(`${minutes} minutes`)
  }))

const simulated = (options: Omit<Lab.Options, "arrivals">) => () =>
  Effect.runPromise(
    Effect.sync(() => Lab.simulate({ arrivals: { closed: { clients, thinkTime: "10 seconds" } }, ...options }))
  )

const callsOfCell = 50_000

const perSecond = 140

/** Five policies, four fleets and five seeds through an outage of ten seconds at a load of 0.7. In milliseconds: a thread gets it as text. */
const cells: ReadonlyArray<Sweep.Cell> = [0, 1, 2, 3, 4].flatMap((times) =>
  [1, 5, 20, 100].flatMap((processes) =>
    [1, 2, 3, 4, 5].map((seed): Sweep.Cell => ({
      key: `${times} retries · ${processes} · seed ${seed}`,
      options: {
        seed,
        processes,
        duration: 1000 * callsOfCell / perSecond,
        arrivals: { open: { perSecond } },
        server: { workers: 20, serviceTime: { exponential: 100 } },
        outages: [{ from: 60_000, for: 10_000, fault: "down" }],
        timeout: 1000,
        policy: { ...Pipeline.standard, name: "ledger", attemptTimeout: "1 second", retry: { times, backoff: {} } }
      },
      expectation: {}
    }))
  )
)

const sweep = () =>
  Effect.runPromise(Effect.map(SweepThreads.run(cells, { threads: 2 }), (rows) => {
    for (const { key, total } of rows) {
      if (total.offered < 0.98 * callsOfCell) throw new RangeError(`${key} had ${total.offered} calls`)
    }
  }))

/** A server that is never busy, and fails in 30 % of the cases. */
const unwell = (duration: Duration.Input, policy: Pipeline.Description) =>
  simulated({
    duration,
    server: { workers: clients, serviceTime: { constant: "20 millis" } },
    outages: { from: 0, for: duration, fault: { failing: 0.3 } },
    policy
  })

/** A minute's outage, after which each call makes four attempts and none succeeds. */
const storm = simulated({
  duration: `${minutes} minutes`,
  server: { workers: 25, serviceTime: { exponential: "20 millis" } },
  outages: { from: "60 seconds", for: "60 seconds", fault: "down" },
  policy: { ...policy, attemptTimeout: "1 second" }
})

const suite: Suite = {
  name: "lab",
  packages: ["effect"],
  cases: [
    {
      name: `${clients} clients for ${minutes} virtual minutes: 1.7 million waits`,
      ours: "VirtualTime",
      subjects: { VirtualTime: virtualTime, TestClock: testClock },
      apart: true,
      units: ["s"],
      rounds: 3,
      atMost: { TestClock: 0.167 }
    },
    {
      name: "the same calls, simulated",
      ours: "Lab.simulate",
      subjects: { "Lab.simulate": unwell(`${minutes} minutes`, policy), TestClock: testClock },
      apart: true,
      units: ["s"],
      rounds: 3,
      atMost: { TestClock: 0.067 }
    },
    {
      name: `${clients} clients for ${minutes} virtual minutes, simulated`,
      ours: "retries alone",
      subjects: {
        "retries alone": unwell(`${minutes} minutes`, policy),
        "Pipeline.standard": unwell(`${minutes} minutes`, { name: "ledger", ...Pipeline.standard }),
        "a retry storm": storm
      },
      apart: true,
      units: ["s"],
      rounds: 1,
      secondsAtMost: { "retries alone": 5, "Pipeline.standard": 8, "a retry storm": 15 }
    },
    {
      name: `a sweep of ${cells.length} cells of 50,000 calls, standard pipelines, over 2 threads`,
      ours: "SweepThreads",
      subjects: { SweepThreads: sweep },
      apart: true,
      units: ["s on the clock", "s"],
      rounds: 1,
      clockSecondsAtMost: 60
    }
  ]
}

export default suite

import * as Field from "@effect-resilience/kernel/Field"
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Predicate } from "effect"

type When = (error: unknown) => boolean

const always: When = () => true

const rule = {
  consecutive: Field.integer({ min: 1 }),
  rate: Field.struct({ threshold: Field.withDefault(Field.number({ min: 0, max: 1 }), 0.5) }),
  never: Field.optional(Field.struct({}))
}

interface Options {
  readonly name?: string | undefined
  readonly permits: number
  readonly queue?: number | undefined
  readonly wait?: Duration.Input | undefined
  readonly mode?: "allow" | "fail" | undefined
  readonly open?: Duration.Input | { readonly base?: number | undefined } | undefined
  readonly rules?: Field.OneOf<typeof rule> | ReadonlyArray<Field.OneOf<typeof rule>> | undefined
  readonly shares?: { readonly [name: string]: number } | undefined
  readonly when?: When | undefined
  readonly spans?: boolean | undefined
}

const isTime = (value: unknown) => typeof value !== "object" || Duration.isDuration(value)

const fields = {
  name: Field.withDefault(Field.text, "default"),
  permits: Field.integer({ min: 1 }),
  queue: Field.withDefault(Field.integer({ min: 0, infinite: true }), 0),
  wait: Field.optional(Field.duration({ above: 0, finite: true })),
  mode: Field.withDefault(Field.literals("allow", "fail"), "allow"),
  open: Field.optional(
    Field.either(isTime, Field.duration(), Field.struct({ base: Field.withDefault(Field.number(), 1) }))
  ),
  rules: Field.withDefault(Field.oneOrMore(Field.variants(rule)), { consecutive: 5 }),
  shares: Field.optional(Field.record(Field.number({ above: 0, max: 1 }))),
  when: Field.optional(Field.fn<When>()),
  spans: Field.withDefault(Field.boolean, false)
} satisfies Field.Fields<Options>

const read = (options: Options) => Field.read("Limit", fields, options)

const message = (f: () => unknown): string => {
  try {
    f()
  } catch (error) {
    assert.instanceOf(error, RangeError)
    return error.message
  }
  return assert.fail("nothing was thrown")
}

describe("Field", () => {
  it("reads what is given, and defaults where nothing is", () => {
    const { name, open, permits, queue, rules, wait } = read({ permits: 3 })
    assert.deepStrictEqual({ name, open, permits, queue, rules, wait }, {
      name: "default",
      open: undefined,
      permits: 3,
      queue: 0,
      rules: [5],
      wait: undefined
    })
    const given = read({ permits: 1, wait: "2 seconds", rules: ["never", { rate: {} }], open: { base: 2 } })
    assert.deepStrictEqual(given.wait, Duration.seconds(2))
    assert.deepStrictEqual(given.rules, [undefined, { threshold: 0.5 }])
    assert.deepStrictEqual(given.open, { base: 2 })
  })

  it("names the option, the rule and the value in its errors", () => {
    const wrong: Array<[string, () => unknown]> = [
      ["Limit.permits must be an integer of at least 1, not 0", () => read({ permits: 0 })],
      ["Limit.permits must be an integer of at least 1, not NaN", () => read({ permits: Number.NaN })],
      ["Limit.permits is missing. It must be an integer of at least 1", () => read(JSON.parse("{}"))],
      [
        "Limit.wait must be a finite duration above 0 millis, such as \"2 seconds\", not 0",
        () => read({ permits: 1, wait: 0 })
      ],
      [
        "Limit.wait must be a finite duration above 0 millis, such as \"2 seconds\", not Infinity",
        () => read({ permits: 1, wait: Infinity })
      ],
      [
        "Limit.wait must be a finite duration above 0 millis, such as \"2 seconds\", not \"soon\"",
        () => read(JSON.parse(`{ "permits": 1, "wait": "soon" }`))
      ],
      [
        "Limit.wait must be a finite duration above 0 millis, such as \"2 seconds\", not NaN",
        () => read({ permits: 1, wait: Number.NaN })
      ],
      [
        "Limit.permits must be an integer of at least 1, not \"3\"",
        () => read(JSON.parse(`{ "permits": "3" }`))
      ],
      ["Limit.name must be a non-empty text, not \"\"", () => read({ name: "", permits: 1 })],
      ["Limit.queue must be an integer of at least 0 or Infinity, not 0.5", () => read({ permits: 1, queue: 0.5 })],
      [
        "Limit.rules.rate.threshold must be a number from 0 to 1, not 2",
        () => read({ permits: 1, rules: { rate: { threshold: 2 } } })
      ],
      [
        "Limit.rules[1].consecutive must be an integer of at least 1, not 0",
        () => read({ permits: 1, rules: ["never", { consecutive: 0 }] })
      ],
      ["Limit.rules must be a list of at least one, not []", () => read({ permits: 1, rules: [] })],
      [
        `Limit.rules must be one of consecutive, rate, never, not {"reat":{}}`,
        () => read(JSON.parse(`{ "permits": 1, "rules": { "reat": {} } }`))
      ],
      ["Limit.mode must be one of allow, fail, not \"x\"", () => read(JSON.parse(`{ "permits": 1, "mode": "x" }`))],
      [
        "Limit.shares.live must be a number of at most 1 and above 0, not 0",
        () => read({ permits: 1, shares: { live: 0 } })
      ]
    ]
    for (const [expected, f] of wrong) assert.include(message(f), expected)
  })

  it("rejects the parts of a duration that do not exist, and those that are no numbers", () => {
    const wait = Field.duration()
    for (const parts of ["{}", `{ "second": 1 }`, `{ "seconds": "1" }`, `{ "seconds": null }`, `[1, null]`]) {
      assert.include(
        message(() => wait.read(JSON.parse(parts), "wait")),
        "wait must be a duration of at least 0 millis"
      )
    }
    assert.throws(() => wait.read({ seconds: Number.NaN }, "wait"), RangeError)
    assert.deepStrictEqual(wait.read({ minutes: 1, seconds: 30, hours: undefined }, "wait"), Duration.seconds(90))
    assert.strictEqual(Duration.toMillis(wait.read([1, 500_000_000], "wait")), 1500)
  })

  it("rejects an option that does not exist", () => {
    assert.strictEqual(
      message(() => Field.struct({}).read(JSON.parse(`{ "toString": 2 }`), "Limit")),
      "Limit has no option toString"
    )
    assert.strictEqual(
      message(() => read(JSON.parse(`{ "permits": 1, "permit": 2 }`))),
      "Limit has no option permit"
    )
    assert.strictEqual(read({ permits: 1, ...JSON.parse("{}"), permit: undefined }).permits, 1)
  })

  it.effect("leaves it to decode to tell what was meant by a name that does not exist, or where it is written", () => {
    const choice = Field.struct({
      times: Field.optional(Field.integer()),
      when: Field.optional(Field.variants(rule)),
      mode: Field.optional(Field.literals("allow", "fail")),
      open: Field.optional(Field.either(
        (value) => Predicate.hasProperty(value, "list"),
        Field.variants({ list: Field.integer() }),
        Field.struct({ base: Field.optional(Field.integer()) })
      ))
    }, { deadline: "timeouts.total" })
    const rows: ReadonlyArray<[unknown, string]> = [
      [{ tiems: 1 }, "Limit has no option tiems. Did you mean times? There are times, when, mode, open"],
      [{ Times: 1 }, "Limit has no option Times. Did you mean times? There are times, when, mode, open"],
      [{ colour: 1 }, "Limit has no option colour. There are times, when, mode, open"],
      [{ deadline: 1 }, "Limit has no option deadline. Write it as timeouts.total. There are times, when, mode, open"],
      [{ open: { lits: 1 } }, "Limit.open has no option lits. Did you mean list? There are base, list"],
      [{ mode: "alow" }, `Limit.mode must be one of allow, fail, not "alow". Did you mean allow?`],
      [{ when: "nevr" }, `Limit.when must be one of consecutive, rate, never, not "nevr". Did you mean never?`],
      [
        { when: { rate: {}, never: {} } },
        `Limit.when must be only one of consecutive, rate, never, not {"rate":{},"never":{}}`
      ]
    ]
    return Effect.forEach(
      rows,
      ([options, expected]) =>
        Effect.map(Effect.flip(FieldCodec.decode(choice, options, {}, "Limit")), (error) => {
          assert.strictEqual(error.message.split("\n")[0], expected)
          assert.isTrue(expected.startsWith(message(() => choice.read(options as never, "Limit"))))
        })
    )
  })

  it("rejects two variants at once in its types", () => {
    // @ts-expect-error -- a choice is one variant
    const both: Field.OneOf<typeof rule> = { rate: {}, never: {} }
    assert.throws(() => read({ permits: 1, rules: both }), /only one of/)
  })

  it("reads a duration that JSON.stringify wrote, and null as Infinity", () => {
    const stored = JSON.stringify({ permits: 1, queue: Infinity, wait: Duration.minutes(1) })
    const { queue, wait } = read(JSON.parse(stored))
    assert.deepStrictEqual([queue, wait], [Infinity, Duration.minutes(1)])
  })
})

describe("Field.variant", () => {
  const rate = Field.variant(
    "Rules",
    "rate",
    Field.withDefault(Field.struct({ size: Field.integer({ min: 1 }) }), { size: 1 })
  )
  const streak = Field.variant("Rules", "streak", Field.integer({ min: 1 }))

  it("writes what the choice reads", () => {
    const rules = Field.variants({ rate, streak })
    assert.deepStrictEqual(rate({ size: 3 }), { rate: { size: 3 } })
    assert.deepStrictEqual(rules.read(rate({ size: 3 }), "rule"), { size: 3 })
    assert.strictEqual(rules.read(streak(2), "rule"), 2)
  })

  it("throws where it is written, with the name of its module", () => {
    assert.throws(() => streak(0), "Rules.streak must be an integer of at least 1, not 0")
  })
})

describe("FieldCodec", () => {
  const options = Field.struct(fields)

  it.effect("decodes the form that code has", () =>
    Effect.gen(function*() {
      const json = {
        permits: 1,
        wait: "2 seconds" as const,
        rules: [{ consecutive: 3 }, "never" as const, { rate: {} }],
        open: { base: 2 },
        shares: { live: 0.5 },
        when: "always"
      }
      const decoded = yield* FieldCodec.decode(options, json, { always })
      assert.deepStrictEqual(decoded, { ...json, when: always })
      assert.deepStrictEqual(yield* FieldCodec.encode(options, decoded, { always }), json)
    }))

  it.effect("tells all that is wrong at once", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        FieldCodec.decode(options, { permits: "1", wait: "soon", permit: 2, when: "never" })
      )
      for (const name of ["permits", "wait", "permit", "when"]) assert.include(error.message, `"${name}"`)
    }))

  it.effect("reads an empty list where none is possible, and nowhere else", () =>
    Effect.gen(function*() {
      const some = Field.struct({ ports: Field.oneOrMore(Field.integer()) })
      const any = Field.struct({ ports: Field.oneOrMoreOrNone(Field.integer()) })
      assert.deepStrictEqual(any.read({ ports: [] }, "options"), { ports: [] })
      assert.deepStrictEqual(any.read({ ports: 1 }, "options"), { ports: [1] })
      assert.throws(() => some.read({ ports: [] }, "options"), "a list of at least one")
      assert.throws(() => any.read({ ports: [0.5] }, "options"), "options.ports")
      assert.deepStrictEqual(yield* FieldCodec.decode(any, { ports: [] }), { ports: [] })
      yield* Effect.flip(FieldCodec.decode(some, { ports: [] }))
    }))

  it.effect("tells of alternatives only what is wrong with the one that is written", () =>
    Effect.gen(function*() {
      const choice = Field.struct({
        rules: Field.oneOrMore(Field.variants(rule)),
        wait: Field.optional(
          Field.either(
            Predicate.hasProperty("list"),
            Field.variants({ list: Field.integer() }),
            Field.struct({
              base: Field.integer(),
              cap: Field.optional(Field.integer())
            })
          )
        ),
        shares: Field.optional(Field.record(Field.variants(rule)))
      })
      const rows = [
        [
          { rules: { rates: {} } },
          `options.rules must be one of consecutive, rate, never, not {"rates":{}}. Did you mean rate?\n  at ["rules"]`
        ],
        [{ rules: "often" }, `options.rules must be one of consecutive, rate, never, not "often"\n  at ["rules"]`],
        [
          { rules: ["never", { rate: { treshold: 1 } }] },
          "options.rules[1].rate has no option treshold. Did you mean threshold? There are threshold\n" +
          `  at ["rules"][1]["rate"]["treshold"]`
        ],
        [
          { rules: "never", wait: { base: 1, limit: 2 } },
          `options.wait has no option limit. Did you mean list? There are base, cap, list\n  at ["wait"]["limit"]`
        ],
        [
          { rules: "never", wait: { list: "x" } },
          `options.wait.list must be an integer, not "x"\n  at ["wait"]["list"]`
        ],
        [
          { rules: "never", shares: { a: "never", b: "x" } },
          `options.shares.b must be one of consecutive, rate, never, not "x"\n  at ["shares"]["b"]`
        ]
      ] as const
      for (const [json, message] of rows) {
        assert.strictEqual((yield* Effect.flip(FieldCodec.decode(choice, json))).message, message)
      }
    }))

  it.effect("tells what was meant by each name that does not exist, at its path", () =>
    Effect.gen(function*() {
      const json = {
        permits: 1,
        permit: 2,
        rules: ["nevr", { rate: { treshold: 1 } }, { rate: {}, never: {} }],
        mode: "fial"
      }
      const error = yield* Effect.flip(FieldCodec.decode(options, json, { always }))
      for (
        const line of [
          `options has no option permit. Did you mean permits? There are name, permits, queue, wait, mode, open, rules, shares, when, spans\n  at ["permit"]`,
          `Did you mean never?\n  at ["rules"][0]`,
          `Did you mean threshold? There are threshold\n  at ["rules"][1]["rate"]["treshold"]`,
          `options.rules[2] must be only one of consecutive, rate, never, not {"rate":{},"never":{}}\n  at ["rules"][2]`,
          `Did you mean fail?\n  at ["mode"]`
        ]
      ) assert.include(error.message, line)
      const named = yield* Effect.flip(FieldCodec.decode(options, { permits: 1, when: "alwyas" }, { always }))
      assert.include(named.message, "Did you mean always? There are always")
    }))

  it.effect("tells everything that Field.read would throw at, at once", () =>
    Effect.gen(function*() {
      const json = { permits: 0, wait: { seconds: 1 }, name: "", shares: { a: 2, b: 1 }, spans: null }
      const error = yield* Effect.flip(FieldCodec.decode(options, json))
      for (
        const line of [
          "options.permits must be an integer of at least 1, not 0",
          `options.wait must be a duration: milliseconds, or a text such as "2 seconds"`,
          `options.name must be a non-empty text, not ""`,
          "options.shares.a must be a number of at most 1 and above 0, not 2",
          "options.spans must be true or false, not null"
        ]
      ) assert.include(error.message, line)
      assert.lengthOf(error.message.split("\n"), 10)
    }))

  it.effect("cannot write a function that has no name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(FieldCodec.encode(options, { permits: 1, when: () => false }, { always }))
      assert.strictEqual(error._tag, "UnnamedFunction")
      assert.include(error.message, "options.when")
    }))

  it.effect("writes durations and Infinity so that it can read them", () =>
    Effect.gen(function*() {
      const json = yield* FieldCodec.encode(options, { permits: 1, queue: Infinity, wait: Duration.minutes(1) })
      assert.deepStrictEqual(json, { permits: 1, queue: null, wait: 60_000 })
      assert.strictEqual(read(yield* FieldCodec.decode(options, JSON.parse(JSON.stringify(json)))).queue, Infinity)
    }))
})

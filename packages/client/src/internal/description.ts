import type * as Redirects from "@effect-resilience/http/Redirects"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Endpoints from "@effect-resilience/limit/Endpoints"
import * as Part from "@effect-resilience/pipeline/Part"
import * as Parts from "@effect-resilience/pipeline/Parts"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import * as HttpMethod from "effect/http/HttpMethod"
import * as address from "./address.ts"
import type {
  Authenticate,
  Description,
  EndpointsOptions,
  Idempotency,
  OperationOptions,
  Options,
  PipelineOptions,
  Propagation,
  Shown,
  Telling,
  Timeouts
} from "./models.ts"
import * as operations from "./operations.ts"
import * as standard from "./standard.ts"

// What else a budget can be is brought by `Parts.budget`.
const otherKind = /* @__PURE__ */ Field.optional(/* @__PURE__ */ missing("budget"))

const budget = /* @__PURE__ */ Part.make<Omit<AttemptBudget.Options, "name">, AttemptBudget.AttemptBudget>({
  slot: "budget",
  field: /* @__PURE__ */ Field.struct({
    ...AttemptBudget.accountFields,
    ...{
      expiring: otherKind,
      inFlight: otherKind,
      quota: otherKind,
      retryThrottling: otherKind
    } satisfies Field.Fields<AttemptBudget.Kinds>
  }),
  make: (options, { name }) => AttemptBudget.makeAccount({ ...options, name })
})

// The limits of time are `timeouts`.
const standardParts = { budget, circuitBreaker: Parts.circuitBreaker, retry: Parts.retry }

/** All that a pipeline can name. A client has the parts of those that are standard, and of others those that it was given. */
export const names = /* @__PURE__ */ Object.keys(
  {
    budget: 0,
    bulkhead: 0,
    circuitBreaker: 0,
    concurrencyLimit: 0,
    hedge: 0,
    metrics: 0,
    pacer: 0,
    retry: 0,
    spans: 0,
    throttle: 0
  } satisfies { readonly [K in keyof PipelineOptions]-?: 0 }
) as ReadonlyArray<keyof PipelineOptions>

/** The parts of a client's pipeline. Those of one slot stand in the order of their names. */
export const partsOf = (given: Options["parts"]): Table => {
  const all: { readonly [name: string]: Part.AnyPart | undefined } = { ...standardParts, ...given }
  const parts: { [name: string]: Part.AnyPart; endpoints?: Part.AnyPart } = { deadline: Parts.deadline }
  for (const name of ["endpoints", ...names]) {
    const part = all[name]
    if (part !== undefined) parts[name] = part
  }
  return parts
}

const limit = /* @__PURE__ */ Field.duration({ above: 0 })

const timeoutFields = {
  total: /* @__PURE__ */ Field.withDefault(limit, standard.timeouts.total),
  attempt: /* @__PURE__ */ Field.withDefault(limit, standard.timeouts.attempt),
  connect: /* @__PURE__ */ Field.withDefault(limit, standard.timeouts.connect),
  firstByte: /* @__PURE__ */ Field.optional(limit),
  idle: /* @__PURE__ */ Field.withDefault(limit, standard.timeouts.idle)
} satisfies Field.Fields<Timeouts>

/** The limits of an operation: what it leaves out is the client's. */
const ownTimeoutFields = {
  total: timeoutFields.firstByte,
  attempt: timeoutFields.firstByte,
  connect: timeoutFields.firstByte,
  firstByte: timeoutFields.firstByte,
  idle: timeoutFields.firstByte
} satisfies Field.Fields<Timeouts>

// What was written goes on to the pipeline, which reads it again.
const asWritten = <In>(field: Field.Field<In, unknown>): Field.Field<In, In> => ({
  ...field,
  read: (input, path) => {
    field.read(input, path)
    return input
  }
})

interface Table extends Part.Table {
  readonly endpoints?: Part.AnyPart
}

const partField = (parts: Part.Table, name: string): Field.AnyField => parts[name]?.field ?? missing(name)

// Hoisted, since the constants above need them.

function missing(name: string): Field.Field<unknown, never> {
  return {
    shape: { _tag: "Boolean" },
    optional: false,
    read: (_, path) => {
      throw new RangeError(`${path} ${needs(name)}`)
    }
  }
}

function needs(name: string): string {
  return `needs a part. Give the client { parts: { ${name}: Parts.${name} } }`
}

const pipelineField = (
  parts: Part.Table,
  elsewhere: Field.Elsewhere | undefined
): Field.Field<PipelineOptions, PipelineOptions> =>
  asWritten<PipelineOptions>(
    Field.struct(
      Object.fromEntries(names.map((name) => [name, Field.optional<never, unknown>(partField(parts, name))])),
      elsewhere
    ) as Field.AnyField as Field.Field<PipelineOptions, unknown>
  )

// All options of the part but the addresses, which are the base URLs.
const choiceField = (parts: Part.Table): Field.Field<EndpointsOptions | undefined, EndpointsOptions | undefined> => {
  const { shape } = partField(parts, "endpoints")
  if (shape._tag !== "Struct") return Field.optional<EndpointsOptions, never>(missing("endpoints"))
  const { addresses: _, ...fields } = shape.fields
  return Field.withDefault(
    asWritten(Field.struct(fields) as Field.AnyField as Field.Field<EndpointsOptions, unknown>),
    {}
  )
}

const origins = /* @__PURE__ */ Field.oneOrMore(/* @__PURE__ */ Field.map(Field.text, (read, path) => {
  requireArgument(address.isOrigin(read), path, "an origin, such as https://files.example.com", read)
  return read
}))

const orNone = <In, Out>(list: Field.Field<In, ReadonlyArray<Out>>): Field.Field<In | undefined, ReadonlyArray<Out>> =>
  Field.map(Field.optional(list), (read) => read ?? [])

const method = /* @__PURE__ */ Field.map(Field.text, (method, path) => {
  requireArgument(HttpMethod.isHttpMethod(method), path, `one of ${[...HttpMethod.all].join(", ")}`, method)
  return method
})

const idempotencyFields = {
  methods: /* @__PURE__ */ orNone(/* @__PURE__ */ Field.oneOrMore(method)),
  key: /* @__PURE__ */ Field.withDefault(Field.boolean, false)
} satisfies Field.Fields<Idempotency>

/** Where what one might look for in a place is written, for what reads JSON. In code the types reject it. */
export interface Elsewhere {
  readonly client?: Field.Elsewhere
  readonly pipeline?: Field.Elsewhere
  readonly timeouts?: Field.Elsewhere
}

const operationFields = (pipeline: Field.Field<PipelineOptions, PipelineOptions>, { timeouts }: Elsewhere) => ({
  endpoint: Field.optional(Field.map(Field.text, operations.parse)),
  idempotent: Field.optional(Field.boolean),
  appliedWhenWhole: Field.optional(Field.boolean),
  idempotencyKey: Field.optional(Field.boolean),
  timeouts: Field.withDefault(Field.struct(ownTimeoutFields, timeouts), {}),
  pipeline: Field.withDefault(pipeline, {}),
  without: orNone(Field.oneOrMore(Field.literals(...names))),
  body: Field.optional(body)
} satisfies Field.Fields<OperationOptions>)

const body = /* @__PURE__ */ Field.literals("json", "whole", "stream")

const redirectFields = {
  limit: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.integer({ min: 0 })),
  origins: /* @__PURE__ */ Field.optional(origins)
} satisfies Field.Fields<Redirects.Options>

const propagationFields = {
  deadline: /* @__PURE__ */ Field.withDefault(Field.boolean, true),
  trace: /* @__PURE__ */ Field.withDefault(Field.boolean, true)
} satisfies Field.Fields<Propagation>

const telling = /* @__PURE__ */ Field.struct(
  {
    calls: /* @__PURE__ */ Field.withDefault(Field.boolean, true),
    attempts: /* @__PURE__ */ Field.withDefault(Field.boolean, true)
  } satisfies Field.Fields<Telling>
)

const shownNames = /* @__PURE__ */ Field.oneOrMore(Field.text)

const shown = /* @__PURE__ */ Field.struct(
  { headers: /* @__PURE__ */ orNone(shownNames), query: /* @__PURE__ */ orNone(shownNames) } satisfies Field.Fields<
    Shown
  >
)

const baseUrl = /* @__PURE__ */ Field.map(Endpoints.addressesField, (read, path) =>
  read.map((one): BaseUrl => {
    const base = address.makeBase(one.address, path)
    return { ...one, address: base.href, base }
  }))

interface BaseUrl extends Endpoints.Address {
  readonly base: address.Base
}

const headers = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.record(Field.text),
  (headers, path) => {
    for (const [name, value] of Object.entries(headers)) {
      const option = `${path}.${name}`
      const advice = insteadOf[name.toLowerCase()]
      if (advice !== undefined) throw new RangeError(`${option} must be left out: ${advice}`)
      requireArgument(headerName.test(name), option, "the name of a header", "another text")
      requireArgument(headerValue.test(value), option, "the value of a header", "another text")
    }
    return headers
  }
)

const secret = "files and logs would show it. Use auth"

const insteadOf: { readonly [name: string]: string } = {
  authorization: secret,
  cookie: secret,
  "proxy-authorization": secret,
  "idempotency-key": "all requests would have the same key. Use idempotency.key"
}

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** The fields of a description. */
const fieldsOf = (parts: Part.Table, elsewhere: Elsewhere) => {
  const pipeline = pipelineField(parts, elsewhere.pipeline)
  return {
    name: Field.text,
    baseUrl,
    endpoints: choiceField(parts),
    pipeline: Field.withDefault(pipeline, standard.pipeline),
    timeouts: Field.withDefault(Field.struct(timeoutFields, elsewhere.timeouts), {}),
    idempotency: Field.withDefault(Field.struct(idempotencyFields), {}),
    redirects: Field.optional(Field.struct(redirectFields)),
    body: Field.withDefault(body, "json"),
    headers: Field.withDefault(headers, {}),
    origins: orNone(origins),
    propagation: Field.withDefault(Field.struct(propagationFields), {}),
    accessLog: Field.withDefault(telling, {}),
    telemetry: Field.withDefault(telling, {}),
    redaction: Field.optional(shown),
    auth: Field.optional(Field.fn<Authenticate>()),
    operations: Field.withDefault(
      Field.record(Field.struct(operationFields(pipeline, elsewhere), elsewhere.client)),
      {}
    )
  } satisfies Field.Fields<Description>
}

/** A description that was read. */
export type Settings = Field.Settings<ReturnType<typeof fieldsOf>>

/** What a description is, and what its options have to do with each other. */
export const fieldOf = (parts: Table, elsewhere: Elsewhere = {}): Field.Field<Description, Settings> =>
  Field.map(Field.struct(fieldsOf(parts, elsewhere), elsewhere.client), (settings, path) => {
    const { auth, baseUrl, operations: described } = settings
    if (auth !== undefined) {
      for (const { base } of baseUrl) {
        requireArgument(
          base.trusted !== undefined,
          `${path}.baseUrl`,
          "https or a loopback address, where there is auth",
          base.origin
        )
      }
    }
    if (baseUrl.length > 1 && parts.endpoints === undefined) {
      throw new RangeError(`${path}.baseUrl with several addresses ${needs("endpoints")}`)
    }
    const templates: Array<readonly [string, operations.Template]> = []
    for (const [name, { endpoint, pipeline, without }] of Object.entries(described)) {
      const option = `${path}.operations.${name}`
      const both = without.find((part) => pipeline[part] !== undefined)
      if (both !== undefined) throw new RangeError(`${option} has ${both} in its pipeline and in without`)
      if (endpoint === undefined) continue
      const double = templates.find(([, other]) => operations.compare(other, endpoint) === 0)
      if (double !== undefined) throw new RangeError(`${option}.endpoint is that of the operation ${double[0]} too`)
      templates.push([name, endpoint])
    }
    return settings
  })

export const reader = (parts: Table): (description: Description) => Settings => {
  const field = fieldOf(parts)
  return (description) => field.read(description, "ResilientClient")
}

/** The limits of time of a client, or of one of its operations. */
export const timeoutsOf = (settings: Settings, name?: string): Settings["timeouts"] => ({
  ...settings.timeouts,
  ...present(operationOf(settings, name)?.timeouts ?? {})
})

/** The parts that an operation has for itself. */
export const ownParts = (settings: Settings, name?: string): PipelineOptions =>
  present(operationOf(settings, name)?.pipeline ?? {})

/** The pipeline of a client, or of one of its operations. */
export const pipelineOf = (settings: Settings, name?: string): Part.Description => {
  const without: ReadonlySet<string> = new Set(operationOf(settings, name)?.without)
  const own = { ...settings.pipeline, ...ownParts(settings, name) }
  return {
    ...Object.fromEntries(Object.entries(own).filter(([part]) => !without.has(part))),
    name: name === undefined ? settings.name : `${settings.name}: ${name}`,
    deadline: timeoutsOf(settings, name).total,
    ...(settings.baseUrl.length > 1 && { endpoints: { ...settings.endpoints, addresses: addressesOf(settings) } })
  }
}

const operationOf = ({ operations }: Settings, name: string | undefined) =>
  name === undefined || !Object.hasOwn(operations, name) ? undefined : operations[name]

// What code gives as `undefined` is left out.
const present = <A extends object>(options: A): { readonly [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never

const addressesOf = ({ baseUrl }: Settings) => baseUrl.map(({ base: _, ...address }) => address)

import * as Origin from "@effect-resilience/auth/Origin"
import type * as Redirects from "@effect-resilience/http/Redirects"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Endpoints from "@effect-resilience/limit/Endpoints"
import * as Part from "@effect-resilience/pipeline/Part"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Effect from "effect/Effect"
import * as HttpMethod from "effect/http/HttpMethod"
import * as Result from "effect/Result"
import * as address from "./address.ts"
import type {
  Authenticate,
  Description,
  EndpointsOptions,
  Idempotency,
  OperationOptions,
  PipelineOptions,
  Propagation,
  Shown,
  Telling,
  Timeouts
} from "./models.ts"
import * as operations from "./operations.ts"
import * as standard from "./standard.ts"

// The limits of time are `timeouts`.
const { attemptTimeout: _, deadline, ...pipelineParts } = Pipeline.parts

const { addresses, load, ejection, panicThreshold, zone } = Endpoints.fields

const choiceFields = { load, ejection, panicThreshold, zone } satisfies Field.Fields<EndpointsOptions>

/** Several base URLs, one of which is chosen for each attempt. */
const endpoints = /* @__PURE__ */ Part.make<
  Omit<Endpoints.Options, "name" | "each" | "classify">,
  Endpoints.Endpoints
>({
  slot: "attemptTimeout",
  field: /* @__PURE__ */ Field.struct({ ...choiceFields, addresses }),
  make: (options, { name }) => Endpoints.make({ ...options, name }),
  carry: (present, _, options, { name }) => Effect.as(present.reload({ ...options, name }), present)
})

/** The parts of a client's pipeline. A description of a client has the first two elsewhere. */
export const parts = { deadline, endpoints, ...pipelineParts }

const limit = /* @__PURE__ */ Field.duration({ above: 0 })

const timeoutFields = {
  total: /* @__PURE__ */ Field.withDefault(limit, standard.timeouts.total),
  attempt: /* @__PURE__ */ Field.withDefault(limit, standard.timeouts.attempt),
  connect: /* @__PURE__ */ Field.withDefault(limit, standard.timeouts.connect),
  firstByte: /* @__PURE__ */ Field.optional(limit),
  idle: /* @__PURE__ */ Field.withDefault(limit, standard.timeouts.idle)
} satisfies Field.Fields<Timeouts>

// What one might look for there.
const timeoutNames = { deadline: "total", timeout: "total or attempt", attemptTimeout: "attempt" }

const timeouts = /* @__PURE__ */ Field.struct(timeoutFields, timeoutNames)

/** The limits of an operation: what it leaves out is the client's. */
const ownTimeouts = /* @__PURE__ */ Field.struct(
  {
    total: timeoutFields.firstByte,
    attempt: timeoutFields.firstByte,
    connect: timeoutFields.firstByte,
    firstByte: timeoutFields.firstByte,
    idle: timeoutFields.firstByte
  } satisfies Field.Fields<Timeouts>,
  timeoutNames
)

// What was written goes on to the pipeline, which reads it again.
const asWritten = <In>(field: Field.Field<In, unknown>): Field.Field<In, In> => ({
  ...field,
  read: (input, path) => {
    field.read(input, path)
    return input
  }
})

const pipeline = /* @__PURE__ */ asWritten<PipelineOptions>(
  /* @__PURE__ */ Field.struct(
    Object.fromEntries(
      Object.entries(pipelineParts).map(([key, part]) => [key, Field.optional<never, unknown>(part.field)])
    ),
    { deadline: "timeouts.total", attemptTimeout: "timeouts.attempt", endpoints: "endpoints of the client" }
  ) as Field.AnyField as Field.Field<PipelineOptions, unknown>
)

const choice = /* @__PURE__ */ asWritten<EndpointsOptions>(/* @__PURE__ */ Field.struct(choiceFields))

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

// A description looks like that of a pipeline, so its parts are looked for in the wrong place.
const elsewhere = {
  ...Object.fromEntries(Object.keys(pipelineParts).map((part) => [part, `pipeline.${part}`])),
  deadline: "timeouts.total",
  timeout: "timeouts",
  attemptTimeout: "timeouts.attempt",
  connectTimeout: "timeouts.connect"
}

const operationFields = {
  endpoint: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.map(Field.text, operations.parse)),
  idempotent: /* @__PURE__ */ Field.optional(Field.boolean),
  appliedWhenWhole: /* @__PURE__ */ Field.optional(Field.boolean),
  idempotencyKey: /* @__PURE__ */ Field.optional(Field.boolean),
  timeouts: /* @__PURE__ */ Field.withDefault(ownTimeouts, {}),
  pipeline: /* @__PURE__ */ Field.withDefault(pipeline, {}),
  without: /* @__PURE__ */ orNone(
    /* @__PURE__ */ Field.oneOrMore(
      /* @__PURE__ */ Field.literals(...Object.keys(pipelineParts) as ReadonlyArray<keyof PipelineOptions>)
    )
  ),
  body: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.literals("json", "whole", "stream"))
} satisfies Field.Fields<OperationOptions>

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

const names = /* @__PURE__ */ Field.oneOrMore(Field.text)

const shown = /* @__PURE__ */ Field.struct(
  { headers: /* @__PURE__ */ orNone(names), query: /* @__PURE__ */ orNone(names) } satisfies Field.Fields<Shown>
)

const baseUrl = /* @__PURE__ */ Field.map(addresses, (read, path) =>
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

const secret = "headers are not for secrets, which would stand in files and logs. Use auth"

const insteadOf: { readonly [name: string]: string } = {
  authorization: secret,
  cookie: secret,
  "proxy-authorization": secret,
  "idempotency-key": "all requests would have the same key. Use idempotency.key"
}

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** The fields of a description. */
const fields = {
  name: Field.text,
  baseUrl,
  endpoints: /* @__PURE__ */ Field.withDefault(choice, {}),
  pipeline: /* @__PURE__ */ Field.withDefault(pipeline, standard.pipeline),
  timeouts: /* @__PURE__ */ Field.withDefault(timeouts, {}),
  idempotency: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(idempotencyFields), {}),
  redirects: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.struct(redirectFields)),
  body: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.literals("json", "whole", "stream"), "json"),
  headers: /* @__PURE__ */ Field.withDefault(headers, {}),
  origins: /* @__PURE__ */ orNone(origins),
  propagation: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(propagationFields), {}),
  accessLog: /* @__PURE__ */ Field.withDefault(telling, {}),
  telemetry: /* @__PURE__ */ Field.withDefault(telling, {}),
  redaction: /* @__PURE__ */ Field.optional(shown),
  auth: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.fn<Authenticate>()),
  operations: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.record(/* @__PURE__ */ Field.struct(operationFields, elsewhere)),
    {}
  )
} satisfies Field.Fields<Description>

/** A description that was read. */
export type Settings = Field.Settings<typeof fields>

/** What a description is, and what its options have to do with each other. */
export const field: Field.Field<Description, Settings> = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.struct(fields, elsewhere),
  (settings, path) => {
    const { auth, baseUrl, operations: described } = settings
    if (auth !== undefined) {
      for (const { base } of baseUrl) {
        requireArgument(
          Result.isSuccess(Origin.parse(base.origin)),
          `${path}.baseUrl`,
          "https or a loopback address, where there is auth",
          base.origin
        )
      }
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
  }
)

export const read = (description: Description): Settings => field.read(description, "ResilientClient")

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

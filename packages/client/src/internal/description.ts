import * as Origin from "@effect-resilience/auth/Origin"
import type * as Redirects from "@effect-resilience/http/Redirects"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Endpoints from "@effect-resilience/limit/Endpoints"
import * as Part from "@effect-resilience/pipeline/Part"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Effect from "effect/Effect"
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
  Timeouts
} from "./models.ts"
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

const timeouts = /* @__PURE__ */ Field.struct(timeoutFields)

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
    )
  ) as Field.AnyField as Field.Field<PipelineOptions, unknown>
)

const choice = /* @__PURE__ */ asWritten<EndpointsOptions>(/* @__PURE__ */ Field.struct(choiceFields))

const texts = /* @__PURE__ */ Field.oneOrMore(Field.text)

const origins = /* @__PURE__ */ Field.oneOrMore(/* @__PURE__ */ Field.map(Field.text, (read, path) => {
  requireArgument(address.isOrigin(read), path, "an origin, such as https://files.example.com", read)
  return read
}))

const orNone = <In, Out>(list: Field.Field<In, ReadonlyArray<Out>>): Field.Field<In | undefined, ReadonlyArray<Out>> =>
  Field.map(Field.optional(list), (read) => read ?? [])

const idempotencyFields = {
  methods: /* @__PURE__ */ orNone(texts),
  key: /* @__PURE__ */ Field.withDefault(Field.boolean, false)
} satisfies Field.Fields<Idempotency>

const operationFields = {
  endpoint: /* @__PURE__ */ Field.optional(Field.text),
  idempotent: /* @__PURE__ */ Field.optional(Field.boolean),
  appliedWhenWhole: /* @__PURE__ */ Field.optional(Field.boolean),
  idempotencyKey: /* @__PURE__ */ Field.optional(Field.boolean),
  timeouts: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ asWritten<Timeouts>(timeouts),
    {}
  ),
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

const baseUrl = /* @__PURE__ */ Field.map(addresses, (read, path) =>
  read.map((one): BaseUrl => {
    const base = address.makeBase(one.address, path)
    return { ...one, address: base.href, base }
  }))

interface BaseUrl extends Endpoints.Address {
  readonly base: address.Base
}

/** The fields of a description. */
export const fields = {
  name: Field.text,
  baseUrl,
  endpoints: /* @__PURE__ */ Field.withDefault(choice, {}),
  pipeline: /* @__PURE__ */ Field.withDefault(pipeline, standard.pipeline),
  timeouts: /* @__PURE__ */ Field.withDefault(timeouts, {}),
  idempotency: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(idempotencyFields), {}),
  redirects: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.struct(redirectFields)),
  body: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.literals("json", "whole", "stream"), "json"),
  headers: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.record(Field.text), {}),
  origins: /* @__PURE__ */ orNone(origins),
  propagation: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(propagationFields), {}),
  auth: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.fn<Authenticate>()),
  operations: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.record(/* @__PURE__ */ Field.struct(operationFields)),
    {}
  )
} satisfies Field.Fields<Description>

/** A description that was read. */
export type Settings = Field.Settings<typeof fields>

export const read = (description: Description): Settings => {
  const settings = Field.read("ResilientClient", fields, description)
  if (settings.auth !== undefined) {
    for (const { base } of settings.baseUrl) {
      requireArgument(
        Result.isSuccess(Origin.parse(base.origin)),
        "ResilientClient.baseUrl",
        "https or a loopback address, where there is auth",
        base.origin
      )
    }
  }
  return settings
}

/** The pipeline of a client, or of one of its operations. */
export const pipelineOf = (settings: Settings, name?: string): Part.Description => {
  const operation = name === undefined ? undefined : settings.operations[name]
  const own: PipelineOptions = { ...settings.pipeline, ...operation?.pipeline }
  const without: ReadonlySet<string> = new Set(operation?.without)
  return {
    ...Object.fromEntries(Object.entries(own).filter(([part]) => !without.has(part))),
    name: name === undefined ? settings.name : `${settings.name}: ${name}`,
    deadline: operation?.timeouts?.total ?? settings.timeouts.total,
    ...(settings.baseUrl.length > 1 && { endpoints: { ...settings.endpoints, addresses: addressesOf(settings) } })
  }
}

const addressesOf = ({ baseUrl }: Settings) => baseUrl.map(({ base: _, ...address }) => address)

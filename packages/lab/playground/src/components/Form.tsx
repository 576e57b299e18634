/** A form that follows a JSON Schema. */
import { For, Match, Show, Switch } from "solid-js"
import type { JsonSchema } from "../schemas.ts"

interface Props {
  readonly schema: JsonSchema
  readonly value: unknown
  readonly path: string
  readonly label?: string | undefined
  readonly change: (value: unknown) => void
}

interface Values {
  readonly [key: string]: unknown
}

const isValues = (value: unknown): value is Values =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** What one line can hold, such as a number or a text with a unit. */
const isLine = ({ enum: values, type }: JsonSchema): boolean =>
  values !== undefined || type === "number" || type === "integer" || type === "string"

/** The ways between which the reader chooses, where they do not all fit into one line. */
const waysOf = ({ anyOf }: JsonSchema): ReadonlyArray<JsonSchema> | undefined =>
  anyOf === undefined || anyOf.every(isLine) ? undefined : anyOf

export const Form = (props: Props) => (
  <Switch fallback={<Leaf {...props} />}>
    <Match when={props.schema.properties}>
      {(properties) => <Fields {...props} properties={properties()} />}
    </Match>
    <Match when={waysOf(props.schema)}>
      {(ways) => <Choice {...props} ways={ways()} />}
    </Match>
  </Switch>
)

const Fields = (props: Props & { readonly properties: { readonly [key: string]: JsonSchema } }) => {
  const values = () => isValues(props.value) ? props.value : {}
  const change = (key: string, value: unknown) => {
    const { [key]: _, ...others } = values()
    props.change(value === undefined ? others : { ...values(), [key]: value })
  }
  return (
    <For each={Object.entries(props.properties).filter(([key]) => key !== "$schema")}>
      {([key, schema]) => (
        <Field
          schema={schema}
          value={values()[key]}
          path={`${props.path}.${key}`}
          label={key}
          required={props.schema.required?.includes(key) ?? false}
          change={(value) => change(key, value)}
        />
      )}
    </For>
  )
}

/** A setting with settings of its own is there or not; its own are shown while it is. */
const Field = (props: Props & { readonly required: boolean }) => {
  const nested = () => props.schema.properties !== undefined || waysOf(props.schema) !== undefined
  const present = () => props.required || props.value !== undefined
  return (
    <Show when={nested()} fallback={<Leaf {...props} />}>
      <fieldset>
        <legend>
          <Show when={!props.required} fallback={props.label}>
            <label>
              <input
                type="checkbox"
                checked={present()}
                onChange={(event) => props.change(event.currentTarget.checked ? start(props.schema) : undefined)}
              />
              {props.label}
            </label>
          </Show>
        </legend>
        <Show when={props.schema.description}>{(text) => <p class="hint">{text()}</p>}</Show>
        <Show when={present()}>
          <Form {...props} />
        </Show>
      </fieldset>
    </Show>
  )
}

const Choice = (props: Props & { readonly ways: ReadonlyArray<JsonSchema> }) => {
  const chosen = () => Math.max(0, props.ways.findIndex((way) => fits(way, props.value)))
  const way = () => props.ways[chosen()] ?? {}
  return (
    <>
      <label>
        <span>{props.label === undefined ? "way" : `way of ${props.label}`}</span>
        <select
          value={String(chosen())}
          onChange={(event) => props.change(start(props.ways[Number(event.currentTarget.value)] ?? {}))}
        >
          <For each={props.ways}>{(one, index) => <option value={String(index())}>{nameOf(one)}</option>}</For>
        </select>
      </label>
      <Show when={way().const === undefined && !(way().enum?.length === 1)}>
        <Form {...props} schema={way()} />
      </Show>
    </>
  )
}

const Leaf = (props: Props) => {
  const id = () => `field-${props.path.replaceAll(/[^a-zA-Z0-9]+/g, "-")}`
  const choices = () => props.schema.enum ?? (props.schema.type === "boolean" ? [true, false] : undefined)
  const text = () =>
    props.value === undefined ? "" : typeof props.value === "string" ? props.value : JSON.stringify(props.value)
  const standard = () => props.schema.default === undefined ? "not set" : plain(props.schema.default)
  const typed = (written: string): unknown => {
    if (written.trim() === "") return undefined
    if (props.schema.type === "string") return written
    const numeric = props.schema.type === "number" || props.schema.type === "integer" ||
      props.schema.anyOf !== undefined
    if (numeric) return /^-?\d+(\.\d+)?$/.test(written.trim()) ? Number(written) : written
    try {
      return JSON.parse(written)
    } catch {
      return written
    }
  }
  return (
    <div class="field">
      <label for={id()}>{props.label ?? "value"}</label>
      <Show
        when={choices()}
        fallback={
          <input
            id={id()}
            type="text"
            value={text()}
            placeholder={standard()}
            aria-describedby={props.schema.description === undefined ? undefined : `${id()}-hint`}
            onChange={(event) => props.change(typed(event.currentTarget.value))}
          />
        }
      >
        {(all) => (
          <select
            id={id()}
            value={text()}
            onChange={(event) => props.change(all().find((one) => plain(one) === event.currentTarget.value))}
          >
            <option value="">{standard()}</option>
            <For each={all()}>{(one) => <option value={plain(one)}>{plain(one)}</option>}</For>
          </select>
        )}
      </Show>
      <Show when={props.schema.description}>{(hint) => <p class="hint" id={`${id()}-hint`}>{hint()}</p>}</Show>
    </div>
  )
}

const plain = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value)

const nameOf = (schema: JsonSchema): string => {
  if (schema.const !== undefined) return plain(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(plain).join(" or ")
  const keys = Object.keys(schema.properties ?? {})
  if (keys.length > 0) return schema.required?.[0] ?? keys.slice(0, 2).join(", ")
  return schema.items === undefined ? schema.type ?? "any" : `list of ${nameOf(schema.items)}`
}

const fits = (schema: JsonSchema, value: unknown): boolean => {
  if (schema.const !== undefined) return schema.const === value
  if (schema.enum !== undefined) return schema.enum.includes(value)
  if (schema.anyOf !== undefined) return schema.anyOf.some((one) => fits(one, value))
  if (schema.properties !== undefined) {
    return isValues(value) && (schema.required ?? []).every((key) => key in value) &&
      Object.keys(value).every((key) => key in (schema.properties ?? {}))
  }
  if (schema.type === "array") return Array.isArray(value)
  if (schema.type === "integer" || schema.type === "number") return typeof value === "number"
  if (schema.type === "object") return isValues(value)
  return schema.type === undefined || typeof value === schema.type
}

/** What a setting is when it is chosen: its standard value, or the smallest that makes sense. */
const start = (schema: JsonSchema): unknown => {
  if (schema.default !== undefined) return schema.default
  if (schema.const !== undefined) return schema.const
  if (schema.enum !== undefined) return schema.enum[0]
  const [way] = schema.anyOf ?? []
  if (way !== undefined) return start(way)
  if (schema.properties !== undefined) {
    return Object.fromEntries((schema.required ?? []).map((key) => [key, start(schema.properties?.[key] ?? {})]))
  }
  if (schema.type === "array") return [start(schema.items ?? {})]
  if (schema.type === "boolean") return true
  if (schema.type === "string") return schema.pattern === undefined ? "" : "1 second"
  return Math.max(1, schema.minimum ?? 1)
}

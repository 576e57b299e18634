import { requireArgument } from "@effect-resilience/kernel/Argument"

/** A method and the segments of a path; a segment in braces fits any. */
export interface Template {
  readonly method: string
  readonly path: string
  readonly segments: ReadonlyArray<string | undefined>
}

export const parse = (text: string, path: string): Template => {
  const [, method = "", template = ""] = /^([A-Z]+) (\/\S*)$/.exec(text) ?? []
  requireArgument(method !== "", path, "a method and a path, such as POST /orders/{id}", text)
  const segments = template.split("/").slice(1).map((segment) => /^\{.*\}$/.test(segment) ? undefined : segment)
  return { method, path: template, segments }
}

export const fits = (template: Template, method: string, path: string): boolean => {
  if (template.method !== method) return false
  const segments = path.split("/").slice(1)
  return segments.length === template.segments.length &&
    template.segments.every((segment, index) => segment === undefined || segment === segments[index])
}

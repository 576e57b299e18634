/** JSON as YAML. Every text is quoted, so that none is taken for something else. */
export const yaml = (value: unknown, indent = ""): string => {
  if (Array.isArray(value)) {
    return value.length === 0
      ? " []\n"
      : `\n${value.map((item) => `${indent}-${nested(item, `${indent}  `)}`).join("")}`
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value)
    return entries.length === 0
      ? " {}\n"
      : `\n${entries.map(([key, item]) => `${indent}${keyOf(key)}:${nested(item, `${indent}  `)}`).join("")}`
  }
  return ` ${JSON.stringify(value)}\n`
}

const nested = (value: unknown, indent: string): string => yaml(value, indent)

const keyOf = (key: string): string => /^[a-z][a-zA-Z0-9]*$/.test(key) ? key : JSON.stringify(key)

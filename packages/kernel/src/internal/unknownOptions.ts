/** The options that are written and do not exist. */
export const unknownOptions = (options: object, names: ReadonlyArray<string>): ReadonlyArray<string> =>
  Object.entries(options).flatMap(([name, value]) => value === undefined || names.includes(name) ? [] : [name])

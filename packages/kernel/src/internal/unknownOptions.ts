import { noSuch } from "../Hint.ts"

/** The options that are written and do not exist. */
export const unknownOptions = (options: object, names: ReadonlyArray<string>): ReadonlyArray<string> =>
  Object.entries(options).flatMap(([name, value]) => value === undefined || names.includes(name) ? [] : [name])

export const noSuchOption = (
  path: string,
  name: string,
  names: ReadonlyArray<string>,
  elsewhere?: { readonly [name: string]: string }
): string => `${path} has no option ${name}${noSuch(name, names, elsewhere)}`

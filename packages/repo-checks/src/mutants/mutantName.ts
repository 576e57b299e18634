interface Position {
  readonly line: number
  readonly column: number
}

/** A fault that Stryker writes into a source. */
export interface Mutant {
  readonly mutatorName: string
  readonly replacement: string
  readonly location: { readonly start: Position; readonly end: Position }
}

/** What tells a mutant from all others. Lines and columns count from `first`: from 0 in Stryker's interface, from 1 in its reports. */
export const mutantName = (
  file: string,
  { location: { end, start }, mutatorName, replacement }: Mutant,
  first: 0 | 1
): string =>
  [
    file,
    start.line - first,
    start.column - first,
    end.line - first,
    end.column - first,
    mutatorName,
    replacement
  ].join("\0")

/**
 * Holds the table of hacks (`packages/bench/HACKS.md`) against the code and against the results of the benchmarks.
 *
 * A hack is code that is harder to read than it would have to be, for speed. It carries a comment `hack: NAME` and has a row in
 * the table, which names a row of RESULTS.md: the same call without the hack.
 */
import { cellsOf, rowsOf } from "./Results.ts"
import type { Package } from "./Workspace.ts"

/** What a hack must save at least, as a part of the call that it stands in. */
export const leastSaving = 0.05

interface Hack {
  readonly name: string
  readonly file: string
  readonly saving: string
  /** `suite › case (unit) › subject`. */
  readonly row: string
}

const plain = (cell: string): string => cell.replace(/^`|`$/g, "")

const hacksOf = (table: string): ReadonlyArray<Hack> =>
  table.split("\n").filter((line) => line.startsWith("| `")).map((line) => {
    const [name = "", file = "", , , saving = "", row = ""] = cellsOf(line)
    return { name: plain(name), file: plain(file), saving, row }
  })

/** Every mark has a row and every row a mark, and its saving is that of RESULTS.md and large enough. */
export const hacks = (packages: ReadonlyArray<Package>, table: string, results: string): ReadonlyArray<string> => {
  const marks = packages.flatMap((pkg) =>
    pkg.modules.flatMap((module) =>
      module.code.split("\n").flatMap((line) => {
        const name = /(?:\/\/|\*) hack: ([\w-]+)/.exec(line)?.[1]
        return name === undefined ? [] : [{ name, file: `packages/${pkg.name}/src/${module.path}` }]
      })
    )
  )
  const rows = hacksOf(table)
  const measured = rowsOf(results)
  return [
    ...marks.filter((mark) => !rows.some(({ file, name }) => name === mark.name && file === mark.file)).map((
      { file, name }
    ) => `${file} marks the hack ${name}, which HACKS.md lacks`),
    ...rows.flatMap(({ file, name, row, saving }) => {
      if (!marks.some((mark) => mark.name === name && mark.file === file)) {
        return [`HACKS.md names ${name} in ${file}, which has no such mark`]
      }
      const ratio = Number(measured.get(row)?.ratio.replaceAll(",", "") || Number.NaN)
      if (Number.isNaN(ratio)) return [`HACKS.md shows ${name} by "${row}", which RESULTS.md lacks`]
      const saved = Math.round((1 - ratio) * 100)
      if (saving !== `${saved} %`) return [`HACKS.md says that ${name} saves ${saving}, RESULTS.md says ${saved} %`]
      return 1 - ratio < leastSaving ? [`${name} saves ${saved} %, less than ${leastSaving * 100} %: remove it`] : []
    })
  ]
}

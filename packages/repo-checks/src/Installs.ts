/** The install lines of a README: what they install is what its example imports. */
import type { Fence } from "./DocFences.ts"
import { fences } from "./DocFences.ts"
import { imports } from "./Syntax.ts"

const section = (readme: string, heading: string): string =>
  new RegExp(`^## ${heading}\n([^]*?)(?=^##+ |(?![^]))`, "m").exec(readme)?.[1] ?? ""

const packageOf = (specifier: string): string =>
  specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")

/** The words after `npm install` of each line in the section "Install"; no line if the README has no such section. */
export const installLines = (readme: string): ReadonlyArray<ReadonlyArray<string>> =>
  [...section(readme, "Install").matchAll(/^npm install (.*?)(?: #.*)?$/gm)]
    .map(([, line = ""]) => line.split(" ").filter((word) => word !== ""))

/** The packages that the section "Install" names, in their order. */
export const installed = (readme: string): ReadonlyArray<string> =>
  installLines(readme).flat().filter((word) => !word.startsWith("-"))

/** The first TypeScript of the section "Example". */
export const example = (readme: string): Fence | undefined => fences(section(readme, "Example"))[0]

/** What a program imports and the install lines do not name. */
export const missing = (file: string, readme: string): ReadonlyArray<string> => {
  const names = installed(readme)
  return fences(section(readme, "Example"))
    .flatMap(({ code }) => imports(file, code))
    .filter(({ from }) => !from.startsWith("node:"))
    .map(({ from }) => packageOf(from))
    .filter((name, i, all) => all.indexOf(name) === i && !names.includes(name))
    .map((name) => `${file} imports ${name} in its example, and does not install it`)
}

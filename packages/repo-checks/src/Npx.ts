/**
 * A command that is fetched by its short name alone could come from a package of a stranger, who registered that name. So each line
 * that runs one names its package.
 */
const runners =
  /\b(?:npx|bunx|(?:npm|pnpm|yarn) (?:exec|x|dlx))(?!\.|-)((?: +(?:-y|--yes|--))*)(?: +(\S+))?(?=(?: +(\S+))?)/g

const named = (first: string, second: string): boolean =>
  first.startsWith("@") || first.startsWith("--package=@") ||
  (/^(?:-p|--package)$/.test(first) && second.startsWith("@")) ||
  // Only what is installed already.
  /^--(?:no|no-install)$/.test(first)

/** The lines of a text that run a command without naming its package. */
export const unnamed = (file: string, text: string): ReadonlyArray<string> =>
  text.split("\n").flatMap((line, i) =>
    Array.from(line.matchAll(runners)).flatMap(([match, , first, second = ""]) =>
      // Prose that names the runner alone.
      first === undefined || !/^[\w@-]/.test(first) || named(first, second)
        ? []
        : [`${file}:${i + 1} ${match.trim()}`]
    )
  )

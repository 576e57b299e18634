import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import * as command from "../../command.ts"

/** What a line is completed to, in words. The list of the first has more. */
const lines: ReadonlyArray<readonly [line: string, words: ReadonlyArray<string>]> = [
  ["tbm-studio up", ["upload"]],
  ["tbm-studio --log-level debug up", ["upload"]],
  ["tbm-studio --log-level w", ["warn", "warning"]],
  ["tbm-studio batch --log-level w", ["warn", "warning"]],
  ["tbm-studio batch --log-f", ["--log-format"]],
  ["tbm-studio --log-level debug batch --enc", ["--encoding"]],
  ["tbm-studio batch --encoding w", ["windows-1252"]],
  ["tbm-studio batch gl", ["gl.csv"]],
  ["tbm-studio --json batch gl", ["gl.csv"]],
  ["tbm-studio batch gl.csv --rules r", ["rules.json"]],
  ["tbm-studio watch inb", ["inbox/"]],
  ["tbm-studio --access-log g", ["gl.csv"]]
]

/** A folder with the script of a shell and some files, and what the shell's program prints for each line. */
const completed = (shell: "bash" | "zsh" | "fish", program: (script: string) => string) =>
  Effect.gen(function*() {
    const folder = yield* command.folder
    const { stdout } = yield* command.tbmStudio(["--completions", shell], {})
    const script = command.write(folder, ".completions", stdout)
    for (const name of ["gl.csv", "rules.json"]) command.write(folder, name, "")
    mkdirSync(`${folder}/inbox`)
    const file = command.write(folder, ".program", program(script))
    const printed = execFileSync(shell, shell === "zsh" ? ["-f", file] : [file], { cwd: folder, encoding: "utf8" })
    const blocks = printed.replaceAll("\r", "").split("=====\n").slice(1)
    return lines.map(([line], i) => [line, wordsOf(blocks[i] ?? "")] as const)
  })

const wordsOf = (block: string): ReadonlyArray<string> =>
  [...new Set(Array.from(block.matchAll(/<([^<>\t]+)[^<>]*>/g), ([, word = ""]) => word))].toSorted()

const withoutSlash = (all: ReadonlyArray<readonly [string, ReadonlyArray<string>]>) =>
  all.map(([line, words]) => [line, words.map((word) => word.replace(/\/$/, ""))])

const quoted = (line: string): string => `'${line}'`

const bash = (script: string) => `
source ${script}
complete_line() {
  COMP_LINE="$1"; COMP_POINT=\${#COMP_LINE}
  read -ra COMP_WORDS <<< "$1"
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _tbm_studio tbm-studio "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
  echo =====
  for word in "\${COMPREPLY[@]}"; do echo "<$word>"; done
}
complete -p tbm-studio >&2
${lines.map(([line]) => `complete_line ${quoted(line)}`).join("\n")}
`

const fish = (script: string) => `
source ${script}
${lines.map(([line]) => `echo =====; complete -C ${quoted(line)} | string replace -r '(.*)' '<$1>'`).join("\n")}
`

// A shell with a terminal, in which the Tab key is pressed. What is offered passes through compadd.
const zsh = (script: string) => `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT=; autoload -Uz compinit; compinit -u -D; source ${script}; unsetopt automenu autolist; bindkey '^I' complete-word"
zpty -w shell 'drop() { BUFFER= }; zle -N drop; bindkey "^U" drop'
zpty -w shell 'compadd() { builtin compadd -O offered "$@"; for word in $offered; print -r -- "<$word>"; builtin compadd "$@" }'
zpty -w shell 'ready() { print -n READY }; zle -N zle-line-init ready; print DONE'
zpty -r shell out '*DONE*READY*'
complete_line() {
  zpty -w -n shell "$1"$'\\t'$'\\x15'
  zpty -w shell "print DO''NE"
  # Not before the shell reads keys again: the terminal would take them.
  zpty -r shell out '*DONE*READY*'
  print -r -- '====='
  print -r -- "$out"
}
${lines.map(([line]) => `complete_line ${quoted(line)}`).join("\n")}
zpty -d shell
`

describe("completions", { timeout: 60_000 }, () => {
  for (const [shell, program] of [["bash", bash], ["fish", fish], ["zsh", zsh]] as const) {
    it.live(`of ${shell} offer commands, flags of the command and global ones, their values, and files`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(withoutSlash(yield* completed(shell, program)), withoutSlash(lines))
      }).pipe(Effect.scoped))
  }
})

import * as CliConfig from "effect/cli/CliConfig"
import * as Command from "effect/cli/Command"
import * as Completions from "effect/cli/Completions"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as options from "./options.ts"

/** Flags and arguments that name files. Their values are texts for Effect, whose own paths become absolute. */
const files: ReadonlySet<string> = new Set([
  "access-log",
  "file",
  "journal",
  "last-journal",
  "manifest",
  "output",
  "rules",
  "svg"
])
const directories: ReadonlySet<string> = new Set(["backup", "directory", "sessions"])

// Nothing needs --no-no-journal.
const withoutDoubleNo = (flag: Completions.FlagDescriptor): Completions.FlagDescriptor =>
  flag.name.startsWith("no-") ? { ...flag, negation: false } : flag

const withPaths = <A extends Completions.FlagDescriptor | Completions.ArgumentDescriptor>(self: A): A => {
  if (self.type._tag !== "String") return self
  if (files.has(self.name)) return { ...self, type: { _tag: "Path", pathType: "file" } }
  return directories.has(self.name) ? { ...self, type: { _tag: "Path", pathType: "directory" } } : self
}

const globals: ReadonlyArray<Completions.FlagDescriptor> = [
  ...Completions.fromCommand(
    Command.make("globals", Object.fromEntries(options.all.map(({ flag }, i) => [i, flag])))
  ).flags,
  ...Completions.fromCommand(
    Command.make("actions", Object.fromEntries(GlobalFlag.BuiltIns.map(({ flag }, i) => [i, flag])))
    // None of them is ever turned off.
  ).flags.map((flag): Completions.FlagDescriptor => ({ ...flag, negation: false }))
]

const complete = (
  { flags, subcommands, ...descriptor }: Completions.CommandDescriptor
): Completions.CommandDescriptor => ({
  ...descriptor,
  arguments: descriptor.arguments.map(withPaths),
  flags: [...flags, ...globals.filter(({ name }) => flags.every((flag) => flag.name !== name))].map(withPaths).map(
    withoutDoubleNo
  ),
  subcommands: subcommands.map(complete)
})

/** The script of a shell. Effect's own lacks the flags that all commands have, and names of files. */
export const script = (command: Parameters<typeof Completions.fromCommand>[0], shell: Completions.Shell): string => {
  const script = Completions.generate(command.name, shell, complete(Completions.fromCommand(command)))
  return shell === "fish"
    ? fishNeedsCommand + script.replaceAll("__fish_use_subcommand", "__tbm_studio_needs_command")
    : script
}

// Fish's own function takes the value of a flag for the command.
const fishNeedsCommand = `function __tbm_studio_needs_command
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
      continue
    end
    switch $word
      case ${
  globals.flatMap(({ name, optionalValue, type }) =>
    type._tag === "Boolean" || optionalValue === true ? [] : [`--${name}`]
  ).join(" ")
}
        set skip 1
      case '-*'
      case '*'
        return 1
    end
  end
  return 0
end

`

const flag: typeof GlobalFlag.Completions = {
  ...GlobalFlag.Completions,
  run: (shell, { command }) =>
    Option.match(shell, { onNone: () => Effect.void, onSome: (shell) => Console.log(script(command, shell)) })
}

/** Effect's flags, with these completions. */
export const layer = CliConfig.layer({
  builtIns: GlobalFlag.BuiltIns.map((builtIn) => builtIn === GlobalFlag.Completions ? flag : builtIn)
})

/**
 * Rules for Dockerfiles, after those of hadolint (https://github.com/hadolint/hadolint#rules), which no package registry of
 * ours has.
 */
interface Instruction {
  readonly name: string
  readonly value: string
}

interface Stage {
  readonly image: string
  readonly name: string | undefined
  readonly instructions: ReadonlyArray<Instruction>
}

const instructionsOf = (text: string): ReadonlyArray<Instruction> =>
  text.replaceAll(/^\s*#.*\n/gm, "").replaceAll(/\\\n/g, " ").split("\n")
    .map((line) => /^\s*(\w+)\s+(.*\S)\s*$/.exec(line))
    .flatMap((found) => found === null ? [] : [{ name: (found[1] ?? "").toUpperCase(), value: found[2] ?? "" }])

const stagesOf = (instructions: ReadonlyArray<Instruction>): ReadonlyArray<Stage> => {
  const starts = instructions.flatMap(({ name }, at) => name === "FROM" ? [at] : [])
  return starts.map((start, i) => {
    const [image = "", , name] = (instructions[start]?.value ?? "").split(/\s+/)
    return { image, name, instructions: instructions.slice(start + 1, starts[i + 1]) }
  })
}

const isJson = (value: string): boolean => {
  try {
    return Array.isArray(JSON.parse(value))
  } catch {
    return false
  }
}

/** What is wrong with a Dockerfile, a line for each; nothing if it follows the rules. */
export const problems = (text: string): ReadonlyArray<string> => {
  const stages = stagesOf(instructionsOf(text))
  const last = stages.at(-1)
  if (last === undefined) return ["has no FROM"]
  const all = (name: string) => stages.flatMap(({ instructions }) => instructions.filter((one) => one.name === name))
  const lastOf = (name: string) => last.instructions.filter((one) => one.name === name)
  const names = stages.flatMap(({ name }) => name === undefined ? [] : [name])
  const user = lastOf("USER").at(-1)?.value

  return [
    ...stages.filter(({ image }) => !names.includes(image) && !/:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?$/.test(image))
      .map(({ image }) => `DL3006 FROM ${image} has no version`),
    ...stages.filter(({ image }) => /:latest\b/.test(image)).map(({ image }) =>
      `DL3007 FROM ${image} changes by itself`
    ),
    ...(user === undefined || /^(root|0)(:|$)/.test(user) ? ["DL3002 the last user is root"] : []),
    // Kubernetes cannot tell whether a name is that of root.
    ...(user !== undefined && !/^\d+(:\d+)?$/.test(user) ? [`the user ${user} is no number`] : []),
    ...all("WORKDIR").filter(({ value }) => !value.startsWith("/")).map(({ value }) =>
      `DL3000 WORKDIR ${value} is relative`
    ),
    ...all("ADD").map(({ value }) => `DL3020 ADD ${value}: use COPY`),
    ...all("MAINTAINER").map(() => "DL4000 MAINTAINER is deprecated"),
    ...["CMD", "ENTRYPOINT"].flatMap((name) => [
      ...lastOf(name).filter(({ value }) => !isJson(value)).map(({ value }) =>
        `DL3025 ${name} ${value} runs in a shell`
      ),
      ...(lastOf(name).length > 1 ? [`DL4003 more than one ${name}`] : [])
    ]),
    ...(lastOf("ENTRYPOINT").length === 0 ? ["it has no ENTRYPOINT"] : []),
    ...all("COPY").flatMap(({ value }) => {
      const from = /--from=(\S+)/.exec(value)?.[1]
      return from === undefined || names.includes(from) ? [] : [`DL3022 COPY --from=${from} is no stage`]
    }),
    ...all("RUN").flatMap(({ value }) => [
      ...(/\bsudo\b/.test(value) ? [`DL3004 RUN ${value} uses sudo`] : []),
      ...(/(?:^|[;&]\s*)cd\s/.test(value) ? [`DL3003 RUN ${value}: use WORKDIR`] : []),
      ...(/\bapt-get install\b/.test(value) && !/--no-install-recommends/.test(value)
        ? [`DL3015 RUN ${value} installs what is only recommended`]
        : []),
      ...(/\bnpm (install|i)\b/.test(value) ? [`DL3016 RUN ${value}: npm ci installs what the lock file says`] : []),
      ...(/\|/.test(value) && !/pipefail/.test(value) ? [`DL4006 RUN ${value} hides a failure before its pipe`] : [])
    ]),
    ...[...all("ENV"), ...all("ARG")].filter(({ value }) => /(KEY|TOKEN|SECRET|PASSWORD)\w*[= ]/i.test(`${value} `))
      .map(({ value }) => `${value.split(/[= ]/)[0]} would be in the image`)
  ]
}

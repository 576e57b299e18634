import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { problems } from "../src/Dockerfiles.ts"
import { publicPackages, root } from "../src/Workspace.ts"

const good = `FROM node:24.21.0-slim AS build
RUN npm ci
FROM node:24.21.0-slim@sha256:${"0".repeat(64)}
WORKDIR /app
COPY --from=build /build/a \\
  ./
USER 1000:1000
ENTRYPOINT ["node", "a.js"]
`

const wrong: ReadonlyArray<readonly [rule: string, from: string, to: string]> = [
  ["DL3006", "node:24.21.0-slim AS", "node AS"],
  ["DL3007", "node:24.21.0-slim AS", "node:latest AS"],
  ["DL3002", "USER 1000:1000\n", ""],
  ["DL3002", "USER 1000:1000", "USER 0"],
  ["is no number", "USER 1000:1000", "USER node"],
  ["DL3000", "WORKDIR /app", "WORKDIR app"],
  ["DL3020", "COPY --from=build", "ADD --from=build"],
  ["DL3025", `["node", "a.js"]`, "node a.js"],
  ["DL4003", "ENTRYPOINT", `ENTRYPOINT ["sh"]\nENTRYPOINT`],
  ["no ENTRYPOINT", "ENTRYPOINT", "CMD"],
  ["DL3022", "--from=build", "--from=builder"],
  ["DL3004", "RUN npm ci", "RUN sudo npm ci"],
  ["DL3003", "RUN npm ci", "RUN cd x && npm ci"],
  ["DL3015", "RUN npm ci", "RUN apt-get install -y git"],
  ["DL3016", "RUN npm ci", "RUN npm install"],
  ["DL4006", "RUN npm ci", "RUN npm ci | tee log"],
  ["DL4000", "RUN npm ci", "MAINTAINER me"],
  ["would be in the image", "RUN npm ci", "ENV TBM_SECRET_KEY=x"],
  ["would be in the image", "RUN npm ci", "ARG NPM_TOKEN"]
]

describe("a Dockerfile", () => {
  it.each(wrong)("is rejected by the rule %s after a change of %s", (rule, from, to) => {
    expect(problems(good)).toEqual([])
    expect(problems(good.replace(from, to)).join("\n")).toContain(rule)
  })

  it("of this repository follows the rules", () => {
    const files = publicPackages().map(({ name }) => join(root, "packages", name, "deploy/Dockerfile")).filter(
      existsSync
    )
    expect(files.length).toBeGreaterThan(0)
    expect(files.flatMap((file) => problems(readFileSync(file, "utf8")).map((problem) => `${file}: ${problem}`)))
      .toEqual([])
  })
})

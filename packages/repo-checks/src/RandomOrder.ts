/**
 * The files of each project in a random order, and the projects too, by the seed of `--sequence.seed`.
 *
 * Files of a project share a process where they follow each other, so what one leaves behind meets another one in each order. Vitest's own
 * random order mixes the projects: there, nearly each file begins a process of its own.
 */
import { createHash } from "node:crypto"
import { BaseSequencer, type TestSpecification } from "vitest/node"

export class RandomOrder extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const { seed } = this.ctx.config.sequence
    const rank = (...of: ReadonlyArray<string>) => createHash("md5").update([seed, ...of].join("\n")).digest("hex")
    return files
      .map((file) => ({ file, rank: rank(file.project.name) + rank(file.project.name, file.moduleId) }))
      .sort((one, other) => one.rank < other.rank ? -1 : 1)
      .map(({ file }) => file)
  }
}

import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"
import { docFences } from "./packages/repo-checks/src/DocFences.ts"
import { RandomOrder } from "./packages/repo-checks/src/RandomOrder.ts"

const packages = readdirSync(new URL("./packages", import.meta.url), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

// They measure what the heap keeps, each in a process of its own: V8 moves more there if what ran before was long-lived.
const alone = [
  "packages/node/test/regressions/garbage-that-outlives-its-exchange.test.ts",
  "packages/upload/test/regressions/garbage-that-outlives-its-upload.test.ts"
]

const setupFiles = ["packages/repo-checks/src/SeededChance.ts"]

// Half of what a process takes to start goes into compiling: those that tests start compile each module once.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("./node_modules/.compiled", import.meta.url))

// Where .ci/run wants the machine-readable result.
const summary = process.env["TEST_SUMMARY"]

// The seed of `npm run test:random`.
const order = process.env["TEST_ORDER"]

export default defineConfig({
  root: import.meta.dirname,
  // Tests run the sources, not dist.
  ssr: { resolve: { conditions: ["@effect-resilience/source", ...defaultServerConditions] } },
  test: {
    // For two cores: tests that start processes, or wait for real time, leave a third of them idle.
    maxWorkers: 3,
    // What a test may take where the machine is busy. Alone, few take more than a second.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Test files share a process: what a test that failed has spied on must not reach the next.
    restoreMocks: true,
    sequence: order === undefined ? {} : { sequencer: RandomOrder, shuffle: { tests: true }, seed: Number(order) },
    reporters: summary === undefined ? ["default"] : ["default", ["json", { outputFile: summary }]],
    projects: [
      ...packages.map((name) => ({
        extends: true as const,
        test: {
          name,
          // To load the modules anew for each file takes a third of the time.
          isolate: false,
          setupFiles,
          include: [`packages/${name}/test/**/*.test.ts`],
          exclude: [`packages/${name}/test/integration/**`, ...alone]
        }
      })),
      { extends: true, test: { name: "alone", setupFiles, include: alone } },
      {
        // The marked fences of doc comments and READMEs.
        extends: true,
        plugins: [docFences()],
        test: {
          name: "docs",
          isolate: false,
          // Where docFences has the modules loaded from.
          server: { deps: { inline: [/@effect-resilience/] } },
          include: [],
          includeSource: ["packages/*/src/**/*.ts", "packages/*/README.md", "README.md", "docs/**/*.md"],
          exclude: ["packages/repo-checks/**"]
        }
      },
      {
        // Needs servers: .ci/run installs and starts them.
        extends: true,
        test: {
          name: "integration",
          include: ["packages/*/test/integration/**/*.test.ts"]
        }
      }
    ]
  }
})

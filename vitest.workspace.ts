import { readdirSync } from "node:fs"
import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"

const packages = readdirSync(new URL("./packages", import.meta.url), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

export default defineConfig({
  root: import.meta.dirname,
  ssr: { resolve: { conditions: ["@effect-resilience/source", ...defaultServerConditions] } },
  test: {
    projects: packages.map((name) => ({
      extends: true,
      test: {
        name,
        include: [`packages/${name}/test/**/*.test.ts`]
      }
    }))
  }
})

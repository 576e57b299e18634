import { sourceName, sourcePage, sources } from "../../src/Pages.ts"

export default {
  paths: () => sources().map((file) => ({ params: { file: sourceName(file) }, content: sourcePage(file) }))
}

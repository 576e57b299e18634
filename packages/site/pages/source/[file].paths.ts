import { sourcePage, sources } from "../../src/Pages.ts"

export default {
  paths: () => sources().map((file) => ({ params: { file }, content: sourcePage(file) }))
}

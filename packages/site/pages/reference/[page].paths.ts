import { referencePages } from "../../src/Reference.ts"

export default {
  paths: () => referencePages().map(({ content, page }) => ({ params: { page }, content }))
}

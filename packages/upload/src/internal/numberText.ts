/** What is wrong with the text of a number, as the end of a sentence; `undefined` where nothing is. Empty cells are no numbers, and allowed. */
export const problemOf = (cell: string): string | undefined => {
  const text = cell.trim()
  if (text === "" || /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return undefined
  const plain = text.replace(/[\s'’]/g, "")
  if (/^[+-]?\d{1,3}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})$/.test(plain)) {
    return `with commas between thousands: write ${plain.replaceAll(",", "")}`
  }
  if (/^[+-]?\d{1,3},\d{3}$/.test(plain)) {
    return `whose comma may mean thousands or decimals: write ${plain.replaceAll(",", "")} or ${
      plain.replace(",", ".")
    }`
  }
  if (/^[+-]?\d*(?:\.\d{3})*,\d+$/.test(plain)) {
    return `with a decimal comma: write ${plain.replaceAll(".", "").replace(",", ".")}`
  }
  return "which is no number"
}

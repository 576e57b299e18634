/** Files that are dropped anywhere on the page. */

/** The most bytes of a file or a text that are read. */
export const sizeLimit = 64_000

/** Calls with the first file of each drop. Returns what ends it. */
export const dropped = (take: (file: File) => Promise<void>): () => void => {
  const over = (event: DragEvent) => {
    if (!event.dataTransfer?.types.includes("Files")) return
    event.preventDefault()
    document.body.classList.add("dropping")
  }
  const leave = (event: DragEvent) => {
    if (event.relatedTarget === null) document.body.classList.remove("dropping")
  }
  const drop = (event: DragEvent) => {
    document.body.classList.remove("dropping")
    const file = event.dataTransfer?.files[0]
    // A field that takes the file itself has prevented the default.
    if (file === undefined || event.defaultPrevented) return
    event.preventDefault()
    void take(file)
  }
  addEventListener("dragover", over)
  addEventListener("dragleave", leave)
  addEventListener("drop", drop)
  return () => {
    removeEventListener("dragover", over)
    removeEventListener("dragleave", leave)
    removeEventListener("drop", drop)
  }
}

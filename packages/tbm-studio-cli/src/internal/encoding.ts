/** The encodings that files may have. */
export const encodings = ["utf-8", "windows-1252"] as const
export type Encoding = typeof encodings[number]

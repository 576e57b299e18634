/** The uploader service's state: upload sessions with their parts, and processes. */
import type * as SimulatorState from "../SimulatorState.ts"
import type { ProcessStatus } from "../SimulatorState.ts"

export interface Part {
  readonly bytes: number
  readonly md5: string
  readonly last: boolean
  /** How many times it was accepted. */
  readonly puts: number
  /** The spool file with its bytes. */
  readonly path: string
}

export interface Session {
  readonly uploadId: string
  readonly domain: string
  /** The table's name. */
  readonly name: string
  readonly single: boolean
  state: "open" | "finalized" | "aborted"
  readonly parts: Map<number, Part>
}

export interface Process {
  readonly processId: string
  readonly domain: string
  readonly uploads: ReadonlyArray<{ readonly session: Session; status: UploadStatus }>
  /** Of all its uploads together. */
  status: ProcessStatus
  /** Epoch milliseconds. */
  modifiedAt: number
}

export interface UploadStatus {
  readonly code: "NotStarted" | "InProgress" | "Success" | "Failed"
  readonly detail: string | null
}

export interface UploaderStore {
  /** An id that no other session or process has. */
  readonly id: () => string
  readonly sessions: Map<string, Session>
  readonly processes: Map<string, Process>
  readonly record: () => SimulatorState.UploaderRecord
}

export const make = (id: () => string): UploaderStore => {
  const sessions = new Map<string, Session>()
  const processes = new Map<string, Process>()
  return {
    id,
    sessions,
    processes,
    record: () => ({
      sessions: Array.from(sessions.values(), ({ name, parts, single, state, uploadId }) => ({
        uploadId,
        table: name,
        single,
        state,
        parts: inOrder(parts).map(([number, { bytes, md5, puts }]) => ({ number, bytes, md5, puts }))
      })),
      processes: Array.from(processes.values(), ({ processId, status, uploads }) => ({
        processId,
        uploadIds: uploads.map(({ session }) => session.uploadId),
        status
      }))
    })
  }
}

export const inOrder = (parts: ReadonlyMap<number, Part>): ReadonlyArray<readonly [number, Part]> =>
  Array.from(parts).toSorted(([a], [b]) => a - b)

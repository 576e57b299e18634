import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { describe, expect, it } from "vitest"
import { publicPackages, root } from "../src/Workspace.ts"

const mark = "~@effect-resilience/errors/NotAsked"

/** Errors that carry no mark, since something was asked; and why, where their name does not say it. */
const asked: Readonly<Record<string, string>> = {
  "auth/AuthError.StillUnauthorized": "the API rejected the token",
  "auth/AuthError.NotReplayable": "the API rejected the token",
  "client/Download.DownloadError": "",
  "client/EventStream.EventStreamError": "",
  "deadline/Lease.LeaseError": "the store of the leases was asked",
  "deadline/StreamTimeout.StreamTimedOut": "the stream was open",
  "deadline/Timeout.TimedOut": "the work was under way",
  "chaos/TcpRelay.RelayError": "the relay asks nothing of its own",
  "errors/ApiError.BadGateway": "",
  "errors/ApiError.BadRequest": "",
  "errors/ApiError.Conflict": "",
  "errors/ApiError.Forbidden": "",
  "errors/ApiError.GatewayTimeout": "",
  "errors/ApiError.InternalServerError": "",
  "errors/ApiError.NotFound": "",
  "errors/ApiError.OutcomeUnknown": "it may have been applied",
  "errors/ApiError.PartsDelivered": "a part of the response came",
  "errors/ApiError.PayloadTooLarge": "",
  "errors/ApiError.RateLimited": "",
  "errors/ApiError.ServiceUnavailable": "",
  "errors/ApiError.Timeout": "a server that gives no connection is at fault",
  "errors/ApiError.Unauthorized": "",
  "errors/ApiError.UndecodableResponse": "",
  "errors/ApiError.UnexpectedStatus": "",
  "errors/ApiError.Unprocessable": "",
  "errors/PartsDelivered.PartsDelivered": "a part of the stream came",
  "kernel/FieldCodec.UnnamedFunction": "an error of encoding, which calls nothing",
  "lab/Lab.NoResponse": "",
  "lab/Lab.ServerFailed": "",
  "lab/SweepThreads.ThreadFailed": "an error of a laboratory, which calls nothing",
  "lab/Verdict.Storm": "an assertion of a test",
  "tbm-simulator/Scenario.ScenarioError": "an error of a command, which calls nothing",
  "tbm-simulator/Simulator.ListenError": "an error of a command, which calls nothing",
  "tbm-studio/UploaderError.FailedGroupCheckin": "",
  "tbm-studio/UploaderError.IncompleteGroupSession": "",
  "tbm-studio/UploaderError.ProcessingFailed": "",
  "tbm-studio/UploaderError.ProcessingUnknown": "",
  "upload/DurableUpload.DurableFailure": "it tells of any failure",
  "upload/Hashing.HashingError": "the hasher was asked",
  "upload/Journal.JournalError": "an entry that cannot be written may follow an upload",
  "upload/UploadError.HashingFailed": "",
  "upload/UploadError.InDoubt": "an earlier run asked",
  "upload/UploadError.IncompleteBody": "",
  "upload/UploadError.IntegrityMismatch": ""
}

/** Errors that decide for each instance. */
const deciding = [
  "auth/AuthError.AuthError",
  "deadline/Deadline.DeadlineExceeded",
  "errors/ApiError.ApiError",
  "errors/ApiError.TransportFailure",
  "tbm-studio/UploaderError.UploaderError",
  "upload/UploadError.NotReplayable",
  "upload/UploadError.UploadError"
]

const modules = publicPackages().flatMap(({ modules, name }) =>
  modules
    .filter(({ path }) => /^[A-Z]\w*\.ts$/.test(path))
    .map(({ path }) => ({
      name: `${name}/${path.slice(0, -3)}`,
      url: pathToFileURL(join(root, "packages", name, "src", path)).href
    }))
)

describe("the mark of errors that stand for work that was never begun", () => {
  it("is carried by every exported error, unless it is listed as asked", async () => {
    const unmarked: Array<string> = []
    const decides: Array<string> = []
    let marked = 0
    for (const { name, url } of modules) {
      const exports: Readonly<Record<string, unknown>> = await import(/* @vite-ignore */ url)
      for (const [key, value] of Object.entries(exports)) {
        if (typeof value !== "function" || !(value.prototype instanceof Error)) continue
        if (!(mark in value.prototype)) unmarked.push(`${name}.${key}`)
        // Those that decide read a field, which this instance lacks.
        else if (Object.create(value.prototype, { begun: { value: true } })[mark] === true) marked++
        else decides.push(`${name}.${key}`)
      }
    }
    expect(unmarked.toSorted()).toEqual(Object.keys(asked).toSorted())
    expect(decides.toSorted()).toEqual(deciding)
    expect(marked).toBeGreaterThan(20)
  })
})

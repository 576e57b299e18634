import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { folder, settingsFor, start, write } from "./command.ts"

/** The files of the command, the client and the uploads that the upload of a small file uses, and what each does. */
const steps: { readonly [file: string]: string } = {
  "tbm-studio-cli/src/main.ts": "parses the arguments and starts the program",
  "tbm-studio-cli/src/internal/output.ts": "is the only access to standard output and standard error",
  "tbm-studio-cli/src/internal/stopSignal.ts": "receives signals",
  "tbm-studio-cli/src/internal/commandOutput.ts": "prints the output of the command, however it ends",
  "tbm-studio-cli/src/internal/logging.ts": "writes logs to standard error",
  "tbm-studio-cli/src/internal/options.ts": "has the flags of all commands",
  "tbm-studio-cli/src/internal/completions.ts": "tells which flags take files",
  "tbm-studio-cli/src/internal/runtime.ts": "provides the services",
  "tbm-studio-cli/src/internal/keyFiles.ts": "finds the keys, in the environment or in files",
  "tbm-studio-cli/src/internal/commands/upload.ts": "is the command: makes the upload, sends it, and reports it",
  "tbm-studio-cli/src/internal/dataFile.ts": "names the file and its encoding",
  "tbm-studio-cli/src/internal/preflight.ts": "reads it before anything is sent",
  "tbm-studio-cli/src/internal/rules.ts": "has what its table demands of it",
  "tbm-studio-cli/src/internal/precautions.ts": "has what is done before and after an upload",
  "tbm-studio-cli/src/internal/looks.ts": "looks at the table, where that is asked for",
  "tbm-studio-cli/src/internal/uploadRoute.ts": "chooses the target: the table, or the uploader service",
  "tbm-studio-cli/src/internal/tracker.ts": "tracks the upload",
  "tbm-studio-cli/src/internal/liveRegion.ts": "shows it on a terminal",
  "tbm-studio-cli/src/internal/report.ts": "describes the outcome",
  "tbm-studio-cli/src/internal/textWidth.ts": "breaks lines to fit the terminal",
  "tbm-studio-cli/src/internal/units.ts": "formats sizes and durations",

  "tbm-studio/src/Settings.ts": "reads the settings",
  "tbm-studio/src/Region.ts": "has the region's hosts",
  "tbm-studio/src/Frontdoor.ts": "logs in and looks the environment up",
  "tbm-studio/src/TableUploads.ts": "makes the request and reads the response",
  "tbm-studio/src/TableAddress.ts": "checks names and makes the path",
  "tbm-studio/src/Period.ts": "parses the period",
  "tbm-studio/src/internal/reportedError.ts": "finds the error in a 2xx response",

  "upload/src/Preflight.ts": "checks header and rows",
  "upload/src/FileFormat.ts": "recognises what is no text",
  "upload/src/CsvReader.ts": "finds the records",
  "upload/src/internal/utf8.ts": "checks the characters",

  "upload/src/Uploader.ts": "sends attempts until one succeeds, and compares what was stored",
  "upload/src/internal/send.ts": "sends its request",
  "upload/src/internal/attemptCount.ts": "counts the attempts of an upload",
  "upload/src/internal/bodyTracker.ts": "follows the bytes of an attempt",
  "upload/src/UploadTarget.ts": "sends one request",
  "upload/src/Multipart.ts": "writes the body",
  "upload/src/UploadSource.ts": "names the file",
  "upload/src/internal/file.ts": "reads it",
  "upload/src/internal/unreadable.ts": "waits for a file that cannot be opened for now",
  "upload/src/internal/wholeBody.ts": "passes a small file on as a whole",
  "upload/src/Hashing.ts": "computes the md5",
  "upload/src/internal/builtin.ts": "finds the runtime's own md5"
}

describe("the upload of a single file", () => {
  it.live(
    "uses one file for each step, and neither batch nor plan nor journal",
    () =>
      Effect.gen(function*() {
        const { url } = yield* Simulator.Simulator
        const dir = yield* folder
        const trace = join(dir, "trace.txt")
        const upload = ["upload", write(dir, "gl.csv", "account,amount\n5100,12.50\n"), "--period", "January:2024"]
        const { ended } = yield* start(process.execPath, [
          "--conditions=@effect-resilience/source",
          fileURLToPath(new URL("tracedCommand.ts", import.meta.url)),
          trace,
          ...upload,
          "--project",
          "P",
          "--table",
          "T"
        ], settingsFor(url))
        const { status, stderr } = yield* ended
        assert.strictEqual(status, 0, stderr)
        const passed = readFileSync(trace, "utf8").split("\n").filter((file) =>
          /^(tbm-studio(-cli)?|upload)\//.test(file)
        )
        assert.deepStrictEqual(passed.toSorted(), Object.keys(steps).toSorted())
      }).pipe(Effect.scoped, Effect.provide(Simulator.layer({ seed: 1 })))
  )
})

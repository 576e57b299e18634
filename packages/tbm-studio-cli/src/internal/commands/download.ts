import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import { TableDownloads } from "@effect-resilience/tbm-studio/TableDownloads"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as ExitStatus from "../../ExitStatus.ts"
import { printOutput } from "../commandOutput.ts"
import { InvalidOption, provideStudio } from "../runtime.ts"
import * as TableCopy from "../tableCopy.ts"
import * as units from "../units.ts"

const flags = {
  project: Flag.String("project").pipe(Flag.withDescription("The project that the table belongs to")),
  table: Flag.String("table").pipe(Flag.withDescription("The table")),
  period: Flag.String("period").pipe(
    Flag.withDescription("Month:Year, such as January:2024 or Jan:FY2024; or current")
  ),
  output: Flag.String("output").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("A new file, which only you can read")
  )
}

export const download = Command.make("download", flags, ({ output, ...names }) =>
  Effect.gen(function*() {
    if (output === "-" || output === "") {
      return yield* new InvalidOption({
        message:
          "--output needs the name of a new file: a download is never printed, since a table may be confidential."
      })
    }
    const address = yield* Effect.fromResult(TableAddress.make(names))
    const { bytes, md5, rows } = yield* TableCopy.save(address, output)
    return {
      json: { status: "downloaded", ...address, file: output, bytes, rows, md5 },
      text: [
        `${TableAddress.format(address)} is in ${output}: ${units.plural(rows, "row")}, ${
          units.bytes(bytes)
        }, md5 ${md5}`
      ],
      exitStatus: ExitStatus.done
    }
  }).pipe(Effect.provide(TableDownloads.layer), provideStudio, printOutput)).pipe(
    Command.withDescription("Download one table and period as TSV, to a new file"),
    Command.withExamples([{
      command:
        `tbm-studio download --project "Cost Transparency" --table "GL Data" --period January:2024 --output gl.tsv`,
      description: "Look what is stored"
    }])
  )

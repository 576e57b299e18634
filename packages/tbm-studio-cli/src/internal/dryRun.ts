import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ExitStatus from "../ExitStatus.ts"
import * as LiveRegion from "./liveRegion.ts"
import * as Place from "./place.ts"
import * as Report from "./report.ts"
import * as textTable from "./textTable.ts"
import * as units from "./units.ts"
import * as UploadRoute from "./uploadRoute.ts"
import * as Uploads from "./uploads.ts"

/** Reports what a batch would do with each of its uploads, and sends nothing. */
export const run = Effect.fnUntraced(function*(jobs: ReadonlyArray<Uploads.Job>, options: Uploads.PlanOptions) {
  const { target } = yield* UploadRoute.destinationOf(options.route ?? "table")
  const region = yield* LiveRegion.make
  const { verdicts } = yield* Uploads.plan(target, jobs, { ...options, verdicts: true }, {
    region,
    now: yield* Clock.currentTimeMillis
  })
  const items: Array<Report.ItemReport> = []
  const exits: Array<number> = []
  const asks = new Set<string>()
  for (const [i, item] of jobs.entries()) {
    const verdict = verdicts[i]
    const place = TableAddress.key(item.address)
    const settle = (ended: Report.Ended<Report.FileUpload>) => {
      items.push(Report.reportOf(ended, Report.untried))
      exits.push(Report.exitOf(ended))
    }
    if (verdict?._tag === "Skip") settle({ ...verdict, _tag: "Skipped", item })
    else if (verdict?._tag === "Reject") {
      asks.add(place)
      settle({ _tag: "Failed", item, error: verdict.error })
    } else if (asks.has(place)) settle({ _tag: "NotStarted", item, behind: 0 })
    else {
      // The size of the file, even where it is sent in another encoding.
      yield* Effect.match(UploadSource.file(item.file).open, {
        onFailure: (error) => settle({ _tag: "Failed", item, error }),
        onSuccess: ({ size = 0 }) => items.push(Report.unsent(Report.namesOf(item), "planned", size))
      })
    }
  }
  return { items, totals: Report.totalsOf(items, 0, 0), exitStatus: ExitStatus.gravest(exits) }
})

/** The plan as a table, with what it sends and what it asks about. */
export const table = Effect.fnUntraced(function*({ items, totals }: Report.BatchReport) {
  const planned = items.filter(({ status }) => status === "planned")
  const bytes = planned.reduce((sum, item) => sum + item.bytes, 0)
  const asked = totals.failed + totals.unknown
  const scope = Place.describe(Place.scopeOf(yield* Settings))
  return (width: number): ReadonlyArray<string> => [
    ...textTable.render(items, [
      { title: "Table", least: 28, cell: Report.labels(items), tail: Report.tail },
      { title: "Action", cell: ({ action }) => action },
      { title: "Plan", cell: ({ status }) => plans[status] },
      {
        title: "Size",
        align: "right",
        dispensable: 2,
        cell: (item) => item.bytes === 0 ? "" : units.bytes(item.bytes)
      },
      { title: "File", dispensable: 1, least: 12, cell: ({ file }) => file }
    ], width),
    "",
    [
      `Would send ${planned.length} of ${units.plural(items.length, "upload")}, ${units.bytes(bytes)}, ` +
      `to ${scope}`,
      ...(totals.skipped > 0 ? [`${totals.skipped} already there`] : []),
      ...(totals.assumed > 0 ? [`${totals.assumed} taken for done`] : []),
      ...(totals.superseded > 0 ? [`${totals.superseded} replaced by a later row`] : []),
      ...(asked > 0 ? [`${asked} to decide`] : []),
      ...(totals.notStarted > 0 ? [`${totals.notStarted} held back by those`] : [])
    ].join(" · "),
    ...items.flatMap(({ error, file, status }) =>
      error === undefined || status === "notStarted" ? [] : [`${file}: ${error.message}`]
    )
  ]
})

const plans: { readonly [status in Report.ItemReport["status"]]: string } = {
  planned: "send",
  skipped: "already there",
  assumed: "taken for done",
  superseded: "replaced by a later row",
  failed: "you decide",
  unknown: "you decide",
  notStarted: "held back",
  uploaded: ""
}

/** The state of the page, and what changes it. */
import { createEffect, createSignal, on, onCleanup, onMount } from "solid-js"
import { dropped, sizeLimit } from "./drop.ts"
import * as link from "./link.ts"
import type { Policy, Reading, Remark, Run, World } from "./protocol.ts"
import type { Lane, Part, Scenario } from "./scenario.ts"
import { worldOf } from "./scenario.ts"
import type { Story } from "./stories.ts"
import * as workers from "./workers.ts"

export interface Page {
  readonly scenario: () => Scenario
  /** The text of a part as it stands in its editor; it need not make sense. */
  readonly draft: (part: Part) => string
  readonly remarks: (part: Part) => ReadonlyArray<Remark>
  readonly run: (lane: Lane) => Run | undefined
  /** What no lane can say: that a worker failed. */
  readonly problem: () => string | undefined
  /** That a link or a file could not be shown, in a sentence, until something else is. */
  readonly notice: () => string | undefined
  readonly busy: () => boolean
  readonly background: workers.Workers
  readonly show: (scenario: Scenario) => void
  readonly edit: (part: Part, text: string) => void
  readonly link: () => string
}

const partsOf = (scenario: Scenario): ReadonlyArray<Part> =>
  scenario.saferWorld === undefined ? ["yours", "safer", "world"] : ["yours", "safer", "world", "saferWorld"]

const lanes = ["yours", "safer"] as const

/** Whether two values say the same, in whatever order their keys are. */
const same = (a: unknown, b: unknown): boolean =>
  typeof a !== "object" || a === null || typeof b !== "object" || b === null
    ? a === b
    : Object.keys(a).length === Object.keys(b).length &&
      Object.entries(a).every(([key, value]) => same(value, Reflect.get(b, key)))

const pretty = (value: unknown): string => JSON.stringify(value, null, 2)

/** The runs of the first story, which the build has put into the page. A link's are others. */
const firstRuns = (): { readonly [L in Lane]?: Run } =>
  location.hash.length > 1 ? {} : JSON.parse(document.querySelector("#runs")?.textContent ?? "{}")

type Of<A> = { readonly [P in Part]?: A }

export const make = (first: Story): Page => {
  // What is typed is not kept waiting by what is calculated.
  const reader = workers.make(1)
  const foreground = workers.make(2)
  const background = workers.make(Math.max(1, Math.min(4, navigator.hardwareConcurrency - 1)))
  const [scenario, setScenario] = createSignal<Scenario>(first.scenario)
  const [drafts, setDrafts] = createSignal<Of<string>>({})
  const [remarks, setRemarks] = createSignal<Of<ReadonlyArray<Remark>>>({})
  const [runs, setRuns] = createSignal<{ readonly [L in Lane]?: Run }>(firstRuns())
  const [problem, setProblem] = createSignal<string>()
  const [notice, setNotice] = createSignal<{ readonly text: string; readonly beside: Scenario }>()
  // It goes with what is shown beside it.
  const notify = (text: string) => setNotice({ text, beside: scenario() })
  const [busy, setBusy] = createSignal(false)

  const told = (error: unknown) => {
    if (error !== workers.forgotten) setProblem(error instanceof Error ? error.message : String(error))
  }

  const read = (part: Part, text: string): Promise<Reading<Policy | World>> =>
    part === "yours" || part === "safer"
      ? reader.ask("readPolicy", text, worldOf(scenario(), part))
      : reader.ask("readWorld", text)

  // A later edit of the same part makes what an earlier one read worthless.
  const edits = new Map<Part, number>()
  const edit = (part: Part, text: string) => {
    setDrafts((drafts) => ({ ...drafts, [part]: text }))
    const mine = (edits.get(part) ?? 0) + 1
    edits.set(part, mine)
    read(part, text).then(({ remarks, value }) => {
      if (edits.get(part) !== mine) return
      setRemarks((all) => ({ ...all, [part]: remarks }))
      if (value === undefined || same(value, scenario()[part])) return
      setScenario((scenario) => ({ ...scenario, [part]: value }))
      // What is wrong with a policy depends on its surroundings.
      if (part === "world" || part === "saferWorld") { for (const lane of lanes) edit(lane, page.draft(lane)) }
    }, told)
  }

  const show = (next: Scenario) => {
    // What is still read of a part that the next scenario does not have must not come back.
    edits.set("saferWorld", (edits.get("saferWorld") ?? 0) + 1)
    setDrafts({})
    setScenario(next)
    for (const part of partsOf(next)) edit(part, pretty(next[part]))
  }

  let latest = 0
  createEffect(on(scenario, (now) => {
    const mine = ++latest
    foreground.forget()
    setBusy(true)
    const simulations = lanes.map((lane) =>
      foreground.ask("simulate", worldOf(now, lane), now[lane]).then((run) => {
        if (mine === latest) setRuns((runs) => ({ ...runs, [lane]: run }))
      })
    )
    setProblem(undefined)
    Promise.all(simulations).catch((error: unknown) => mine === latest && told(error)).finally(() => {
      if (mine === latest) setBusy(false)
    })
    history.replaceState(null, "", link.fragment(now))
  }, { defer: true }))

  /** A description becomes yours; a simulation with its policy brings its world too. */
  const load = async (text: string): Promise<void> => {
    const { policy, remarks, world } = await reader.ask("readFile", text)
    if (policy === undefined) {
      notify(`The file cannot be shown. ${remarks[0]?.text ?? ""}`)
      return
    }
    show({
      ...scenario(),
      yours: policy,
      ...(world === undefined ? {} : { world, saferWorld: undefined })
    })
  }

  // The author of a link may have written anything: its parts are read like texts that were typed.
  // Where the command serves the page, it may have been given a file.
  const openFile = async (): Promise<void> => {
    // A page without runs has not been built with those of the first story.
    show(runs().yours === undefined ? { ...first.scenario } : first.scenario)
    if (location.protocol === "file:") return
    const response = await fetch("file").catch(() => undefined)
    if (response?.status !== 200) return
    await load(await response.text())
  }

  const open = async (): Promise<void> => {
    const opened = link.open(location.hash)
    if (opened === undefined) return openFile()
    const reject = (problem: string) => {
      show({ ...scenario() })
      notify(`The link cannot be shown: ${problem}. What you see is not from it.`)
    }
    if ("problem" in opened) return reject(opened.problem)
    const { texts } = opened
    const [yours, safer, world, saferWorld] = await Promise.all([
      reader.ask("readPolicy", texts.yours, scenario().world),
      reader.ask("readPolicy", texts.safer, scenario().world),
      reader.ask("readWorld", texts.world),
      texts.saferWorld === undefined ? undefined : reader.ask("readWorld", texts.saferWorld)
    ])
    if (!yours.value || !safer.value || !world.value || (saferWorld && !saferWorld.value)) {
      const [remark] = [yours, safer, world, saferWorld].flatMap((reading) =>
        reading?.remarks.filter(({ kind }) => kind === "error") ?? []
      )
      return reject(remark === undefined ? "a part of it is missing" : remark.text.replace(/\.$/, ""))
    }
    show({ yours: yours.value, safer: safer.value, world: world.value, saferWorld: saferWorld?.value })
  }
  const page: Page = {
    scenario,
    draft: (part) => drafts()[part] ?? pretty(scenario()[part]),
    remarks: (part) => remarks()[part] ?? [],
    run: (lane) => runs()[lane],
    problem,
    notice: () => notice()?.beside === scenario() ? notice()?.text : undefined,
    busy,
    background,
    show,
    edit,
    link: () => `${location.origin === "null" ? "" : location.origin}${location.pathname}${link.fragment(scenario())}`
  }
  // Not before the effects are there that a change sets off.
  onMount(() => void open().catch(told))
  const opened = () => void open().catch(told)
  addEventListener("hashchange", opened)
  onCleanup(() => removeEventListener("hashchange", opened))
  onCleanup(dropped(async (file) => {
    if (file.size > sizeLimit) notify(`The file cannot be shown. ${file.name} is larger than 64 kB.`)
    else await load(await file.text()).catch(told)
  }))
  return page
}

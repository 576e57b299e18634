/** Workers that run the packages, and the questions that wait for one. */
import type { Question, Questions, Reply } from "./protocol.ts"

interface Waiting {
  readonly question: Question
  readonly settle: (reply: Reply) => void
}

/** Asks one of so many workers. Where all are busy, a question waits; `forget` drops the simulations that wait. */
export interface Workers {
  readonly ask: <K extends keyof Questions>(
    name: K,
    ...input: Parameters<Questions[K]>
  ) => Promise<ReturnType<Questions[K]>>
  readonly forget: () => void
}

// The code of the worker is in the page, so that the page is one file.
const code = URL.createObjectURL(
  new Blob([document.querySelector("#worker")?.textContent ?? ""], { type: "text/javascript" })
)

const isSimulation = ({ question: { name } }: Waiting) => name === "simulate" || name === "judge"

/** The longest that a question may take: a link may ask for anything. */
const mostMillis = 60_000

/** What a question fails with that was dropped, since it is no longer of interest. */
export const forgotten = "forgotten"

let lastId = 0

export const make = (count: number): Workers => {
  const queue: Array<Waiting> = []
  const idle: Array<Worker> = []
  const running = new Map<Worker, Waiting>()
  const limits = new Map<Worker, ReturnType<typeof setTimeout>>()

  const next = () => {
    while (queue.length > 0) {
      const worker = idle.pop() ?? (running.size < count ? start() : undefined)
      if (worker === undefined) return
      const waiting = queue.shift()
      if (waiting === undefined) return
      running.set(worker, waiting)
      limits.set(
        worker,
        setTimeout(
          () => stop(worker, "This takes longer than a minute. Choose a shorter or smaller world."),
          mostMillis
        )
      )
      worker.postMessage(waiting.question, { transfer: [] })
    }
  }

  const end = (worker: Worker, settle: (waiting: Waiting) => void) => {
    clearTimeout(limits.get(worker))
    const waiting = running.get(worker)
    running.delete(worker)
    if (waiting !== undefined) settle(waiting)
    next()
  }

  const stop = (worker: Worker, problem: string) => {
    worker.terminate()
    end(worker, ({ question: { id }, settle }) => settle({ id, problem }))
  }

  const start = () => {
    const worker = new Worker(code)
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      idle.push(worker)
      end(worker, ({ settle }) => settle(data))
    })
    worker.addEventListener("error", () => stop(worker, "The worker of this page broke down."))
    return worker
  }

  return {
    ask: (name, ...input) =>
      new Promise((resolve, reject) => {
        queue.push({
          question: { id: ++lastId, name, input },
          settle: (reply) => "problem" in reply ? reject(reply.problem) : resolve(reply.value as never)
        })
        next()
      }),
    forget: () => {
      const [dropped, kept] = [queue.filter(isSimulation), queue.filter((waiting) => !isSimulation(waiting))]
      queue.splice(0, queue.length, ...kept)
      for (const { question, settle } of dropped) settle({ id: question.id, problem: forgotten })
    }
  }
}

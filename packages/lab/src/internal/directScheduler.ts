import type * as Scheduler from "effect/Scheduler"

/**
 * Runs tasks when it is told to, in rounds, and those of a round in the order of their priority and then of their coming, as
 * Effect's own scheduler does. That one asks the machine for a turn of its event loop before each round.
 */
export class DirectScheduler implements Scheduler.Scheduler, Scheduler.SchedulerDispatcher {
  readonly executionMode = "sync"
  private tasks: Array<() => void> = []
  // Those of the tasks, where one is other than 0.
  private priorities: Array<number> | undefined = undefined

  shouldYield(): boolean {
    return false
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return this
  }

  scheduleTask(task: () => void, priority: number): void {
    if (priority !== 0 && this.priorities === undefined) this.priorities = this.tasks.map(() => 0)
    this.priorities?.push(priority)
    this.tasks.push(task)
  }

  flush(): void {
    this.drain()
  }

  /** Runs what there is, and what that brings. */
  drain(): void {
    while (this.tasks.length > 0) {
      const round = this.takeRound()
      for (const task of round) task()
    }
  }

  private takeRound(): ReadonlyArray<() => void> {
    const { priorities, tasks } = this
    this.tasks = []
    this.priorities = undefined
    if (priorities === undefined) return tasks
    return tasks
      .map((task, index) => ({ task, priority: priorities[index] ?? 0 }))
      .sort((a, b) => a.priority - b.priority)
      .map(({ task }) => task)
  }
}

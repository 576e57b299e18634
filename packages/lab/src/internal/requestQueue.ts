import type { Request } from "./request.ts"

const abandoned = -1

/**
 * Requests that wait. They stand as numbers, which those that were given up leave behind: a queue of a million of them holds nothing
 * of their callers.
 */
export class RequestQueue {
  private numbers = new Int32Array(1024)
  // The positions of the first and of the next one; they only grow with what comes.
  private head = 0
  private tail = 0
  private readonly requests: Array<Request | undefined> = []
  private readonly free: Array<number> = []
  /** When the first one came of those that have waited since without a break: the queue has not been empty since then. */
  since = 0

  get length(): number {
    return this.tail - this.head
  }

  add(request: Request): void {
    if (this.length === 0) this.since = request.received
    if (this.length === this.numbers.length) this.grow()
    const number = this.free.pop() ?? this.requests.length
    this.requests[number] = request
    request.position = this.tail
    this.numbers[this.tail++ & (this.numbers.length - 1)] = number
  }

  /** Its caller has gone. Its place in the queue stays. */
  abandon(request: Request): void {
    const place = request.position & (this.numbers.length - 1)
    this.release(this.numbers[place] ?? abandoned)
    this.numbers[place] = abandoned
  }

  /** Takes the first one out; `undefined` stands for one whose caller has gone. */
  first(): Request | undefined {
    return this.release(this.numbers[this.head++ & (this.numbers.length - 1)] ?? abandoned)
  }

  /** Takes the last one out. */
  last(): Request | undefined {
    return this.release(this.numbers[--this.tail & (this.numbers.length - 1)] ?? abandoned)
  }

  private release(number: number): Request | undefined {
    if (number === abandoned) return undefined
    const request = this.requests[number]
    this.requests[number] = undefined
    this.free.push(number)
    return request
  }

  private grow(): void {
    const numbers = new Int32Array(this.numbers.length * 2)
    for (let position = this.head; position < this.tail; position++) {
      numbers[position & (numbers.length - 1)] = this.numbers[position & (this.numbers.length - 1)] ?? abandoned
    }
    this.numbers = numbers
  }
}

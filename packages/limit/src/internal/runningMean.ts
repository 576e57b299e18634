/** The mean of round trips, and how far it may be off (Welford's method). */
export class RunningMean {
  count = 0
  mean = 0
  private squares = 0

  add(millis: number) {
    const value = Math.max(shortestMillis, millis)
    const distance = value - this.mean
    this.mean += distance / ++this.count
    this.squares += distance * (value - this.mean)
  }

  /** The standard error, as a share of the mean. */
  get error(): number {
    return this.count < 2 ? Infinity : Math.sqrt(this.squares / (this.count - 1) / this.count) / this.mean
  }

  /** Adds what was known before, with at most four times the weight of this, unless it was something else. */
  join(earlier: RunningMean) {
    const error = Math.hypot(this.error * this.mean, earlier.error * earlier.mean)
    if (Math.abs(this.mean - earlier.mean) > 2 * error) return
    const weight = Math.min(1, 4 * this.count / earlier.count)
    const count = earlier.count * weight
    this.mean = (this.mean * this.count + earlier.mean * count) / (this.count + count)
    this.squares += earlier.squares * weight
    this.count += count
  }
}

// Round trips take no time at all where a test's clock stands still, and their ratios would be no numbers.
const shortestMillis = 0.001

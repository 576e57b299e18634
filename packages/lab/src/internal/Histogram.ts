const linear = 256

/** Of each power of two, so many parts. */
const parts = linear / 2

/**
 * Counts times in buckets whose width grows with them: of a microsecond below 256, and below one 128th of a time above. It holds as
 * much for a million of them as for ten.
 */
export class Histogram {
  private readonly counts = new Float64Array(linear + 46 * parts)
  private count = 0
  private sum = 0
  private longest = 0

  add(millis: number): void {
    this.count++
    this.sum += millis
    if (millis > this.longest) this.longest = millis
    const bucket = bucketOf(Math.round(millis * 1000))
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count
  }

  get max(): number {
    return this.longest
  }

  /** The time that a share of all are not above, or up to one 128th more. */
  at(share: number): number {
    let left = Math.max(1, Math.ceil(share * this.count))
    for (let bucket = 0; bucket < this.counts.length; bucket++) {
      left -= this.counts[bucket] ?? 0
      if (left <= 0) return Math.min(this.longest, lastOf(bucket) / 1000)
    }
    return this.longest
  }
}

const bucketOf = (micros: number): number => {
  let shifts = 0
  let rest = micros
  for (; rest >= linear; shifts++) rest = Math.floor(rest / 2)
  return shifts === 0 ? rest : linear + (shifts - 1) * parts + rest - parts
}

/** The last microsecond that falls into a bucket. */
const lastOf = (bucket: number): number => {
  if (bucket < linear) return bucket
  const shifts = Math.floor((bucket - linear) / parts) + 1
  const rest = (bucket - linear) % parts + parts
  return (rest + 1) * 2 ** shifts - 1
}

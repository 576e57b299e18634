import * as Redis from "effect/persistence/Redis"
import { unit } from "./units.ts"

/**
 * What a process asks the store of a shared budget. Amounts are units of account.
 *
 * - `burst`, `perMilli`: how much can be saved up, and what each millisecond pays in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  /** The name of the budget. */
  readonly name: string
  /** The process. */
  readonly member: string
  /** What it has above its share, which others may have. */
  readonly give: number
  /** What it lacks. */
  readonly want: number
  readonly burst: number
  readonly perMilli: number
  /** How long a process counts after it asked. */
  readonly presentMillis: number
}

/**
 * What a process gets, and how many share the budget at present.
 *
 * @category models
 * @since 0.1.0
 */
export interface Share {
  /** What the store gives of what was asked for, in units of account. */
  readonly granted: number
  /** How many processes share the budget at present. */
  readonly processes: number
}

/**
 * What a process may hold: its part of half of what can be saved up. At least 1, since less pays for no attempt.
 */
export const shareOf = (burst: number, processes: number): number => Math.max(unit, Math.floor(burst / 2 / processes))

/** A store in the memory of one process. */
export class Shares {
  private readonly accounts = new Map<string, SharesOf>()

  ask(request: Request, nowMillis: number): Share {
    const { name } = request
    const known = this.accounts.get(name)
    const account = known ?? new SharesOf(request, nowMillis)
    if (known === undefined) this.accounts.set(name, account)
    return account.ask(request, nowMillis)
  }
}

class SharesOf {
  private balance: number
  private paidSince: number
  private paidByTime = 0
  private readonly present = new Map<string, number>()

  constructor({ burst }: Request, nowMillis: number) {
    this.balance = burst
    this.paidSince = nowMillis
  }

  // The script below does the same.
  ask({ burst, give, member, perMilli, presentMillis, want }: Request, nowMillis: number): Share {
    const due = Math.floor((nowMillis - this.paidSince) * perMilli)
    this.balance = Math.min(burst, this.balance + due - this.paidByTime + give)
    this.paidByTime = due
    if (this.balance === burst) {
      this.paidSince = nowMillis
      this.paidByTime = 0
    }
    const granted = Math.min(want, this.balance)
    this.balance -= granted
    this.present.set(member, nowMillis)
    for (const [other, at] of this.present) {
      if (at <= nowMillis - presentMillis) this.present.delete(other)
    }
    return { granted, processes: this.present.size }
  }
}

// Numbers that are not integers, and those beyond a billion, are written with all their digits: Lua would round them.
const digits = "string.format(\"%.17g\", "

/** The same in Redis, by the clock of Redis. */
export const script = /* @__PURE__ */ Redis.script(
  (
    account: string,
    members: string,
    { burst, give, member, perMilli, presentMillis, want }: Request
  ) => [account, members, member, give, want, burst, perMilli, presentMillis],
  {
    numberOfKeys: 2,
    lua: `
local give, want, burst = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local per_milli, present_millis = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local stored = redis.call("HMGET", KEYS[1], "balance", "paidSince", "paidByTime")
local balance = tonumber(stored[1] or burst)
local paid_since = tonumber(stored[2] or now)
local paid_by_time = tonumber(stored[3] or 0)
if now < paid_since then
  paid_since = now
  paid_by_time = 0
end

local due = math.floor((now - paid_since) * per_milli)
balance = math.min(burst, balance + due - paid_by_time + give)
paid_by_time = due
if balance == burst then
  paid_since = now
  paid_by_time = 0
end
local granted = math.min(want, balance)
balance = balance - granted
redis.call("HSET", KEYS[1], "balance", ${digits}balance), "paidSince", ${digits}paid_since), "paidByTime", ${digits}paid_by_time))

redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", now - present_millis)
redis.call("ZADD", KEYS[2], now, ARGV[1])
local processes = redis.call("ZCARD", KEYS[2])

-- An account that is forgotten is full again: not before time would have filled it.
local millis = 86400000
if per_milli > 0 then millis = math.min(millis, math.ceil(burst / per_milli) + present_millis) end
redis.call("PEXPIRE", KEYS[1], millis)
redis.call("PEXPIRE", KEYS[2], present_millis)
return { ${digits}granted), processes }
`
  }
).withReturnType<readonly [granted: string, processes: number]>()

import * as Field from "@effect-resilience/kernel/Field"
import type { Open } from "../internal/account.ts"
import { Following } from "../internal/following.ts"

export interface RetryThrottlingOptions {
  readonly maxTokens?: number | undefined
  readonly tokenRatio?: number | undefined
}

const fields = {
  maxTokens: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ above: 0, max: 1000 }), 10),
  tokenRatio: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0.001 }), 0.1)
} satisfies Field.Fields<RetryThrottlingOptions>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings): Open => (name) => new RetryThrottling(settings, name)
)

/**
 * No extra attempts while half of the tokens are gone: an attempt that fails takes 1, a call that succeeds gives `tokenRatio`.
 * Failures count that a policy may retry, whether or not it does; attempts that were not asked do not. Extra attempts cost nothing. The balance that a snapshot
 * tells is what there is above the half.
 *
 * - `maxTokens`: the tokens at the start, and the most, up to 1,000; default 10.
 * - `tokenRatio`: decimals after the third do not count; default 0.1.
 *
 * Written as in a service configuration of gRPC. Source: gRPC A6, *gRPC Retry Design*, with the numbers of its example; it
 * counts in thousandths.
 *
 * @category kinds
 * @since 0.1.0
 */
export const retryThrottling: Field.Variant<"retryThrottling", RetryThrottlingOptions | undefined, Open> =
  /* @__PURE__ */ Field
    .variant("AttemptBudget", "retryThrottling", field)

class RetryThrottling extends Following {
  private readonly max: number
  private readonly ratio: number
  private tokens: number

  constructor({ maxTokens, tokenRatio }: Field.Settings<typeof fields>, name: string) {
    super(name)
    this.max = toThousandths(maxTokens)
    this.ratio = toThousandths(tokenRatio)
    this.tokens = this.max
  }

  isIdle(): boolean {
    return this.attempts === 0 && this.tokens === this.max
  }

  override attemptFailed(): void {
    this.tokens = Math.max(0, this.tokens - 1000)
  }

  override callEnded(succeeded: boolean): void {
    if (succeeded) this.tokens = Math.min(this.max, this.tokens + this.ratio)
  }

  protected look() {
    return { balance: Math.max(0, this.tokens - this.max / 2) / 1000 }
  }

  protected pay(): boolean {
    return this.tokens > this.max / 2
  }
}

// 0.029 is a little less than 29 thousandths.
const toThousandths = (tokens: number): number => Math.floor(tokens * 1000 + 1e-6)

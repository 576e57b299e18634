import { Period } from "@effect-resilience/tbm-studio"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"

const messageOf = (text: string) => Result.getOrThrow(Result.flip(Period.parse(text))).message

const meant = (text: string) => /Did you mean (.*)\?$/.exec(messageOf(text))?.[1]

describe("Period.parse", () => {
  it("names the period that was meant, as spreadsheets and people write it", () => {
    const spellings = {
      "Jan-24": "Jan:2024",
      "Jan 2024": "Jan:2024",
      "January 2024": "January:2024",
      "january-2024": "January:2024",
      "Janury:2024": "January:2024",
      "Sept:2024": "September:2024",
      "Sep. 2024": "Sep:2024",
      "Feburary:FY2024": "February:FY2024",
      "Jan:FY24": "Jan:FY2024",
      "Jan FY 2024": "Jan:FY2024",
      "2024-01": "January:2024",
      "202401": "January:2024",
      "2024-01-31": "January:2024",
      "2024-01-01T00:00:00": "January:2024",
      "01/2024": "January:2024",
      "12.2024": "December:2024",
      "2024 March": "March:2024",
      "FY2024:Mar": "Mar:FY2024",
      "curent": "current"
    }
    for (const [text, period] of Object.entries(spellings)) {
      assert.strictEqual(meant(text), period, text)
      assert.isTrue(Result.isSuccess(Period.parse(period)))
    }
  })

  it("does not guess where several months may be meant, or none", () => {
    for (
      const text of [
        "",
        " ",
        "SOMEDATE:2010",
        "13/2024",
        "2024-13",
        "01-24",
        "01/02/2024",
        "Mai:2024",
        "Q1 2024",
        "2024"
      ]
    ) {
      assert.isUndefined(meant(text), text)
      assert.include(messageOf(text), "use Month:Year, for example January:2024")
    }
  })
})

/**
 * Words that stay out of names, comments and pages. `docs/glossary.md` has the ones to use instead.
 *
 * Each rule takes the text of a file and returns its violations, one line each.
 */
import { lineAt } from "./Syntax.ts"

interface Word {
  readonly pattern: RegExp
  readonly instead: string
}

/** What is persisted, scraped or scripted against keeps its name, and so do other people's words. */
const kept = [
  /ECONNREFUSED/g,
  /(?:NGHTTP2_)?REFUSED_STREAM/g,
  /connections? refused|refused connections?/gi,
  // Tags, keys and texts that leave the process.
  /UndecodableAnswer/g,
  /earlyAnswers|singleUploadAnswer/g,
  /The server cannot answer now\./g,
  /CallsRefused/g,
  /resilience_limit_refusals/g,
  /resilience\.limit\.refusals/g,
  /"refused"/g,
  /`refused`/g
]

interface Allowance {
  readonly files: RegExp
  readonly pattern: RegExp
  readonly why: string
}

const allowances: ReadonlyArray<Allowance> = [
  {
    files: /^packages\/(?:http\/(?:.*Recording|api\.md)|lab\/.*(?:Traffic|Plan))/,
    pattern: /\banswer\b/g,
    why: "the JSON key of recordings"
  },
  { files: /^packages\/errors\/test\/(?:Transport|messages)/, pattern: /refused(?=:)/g, why: "a kind of Transport" },
  { files: /^packages\/client\/test\//, pattern: /refused(?= ->)/g, why: "a kind of Transport" },
  { files: /reportedError\.ts$/, pattern: /refused/g, why: "a word that the service may use" },
  { files: /^packages\/tbm-studio-cli\//, pattern: /\banswer(?:s|ed)?\b/g, why: "a person answers a question" }
]

export const words: ReadonlyArray<Word> = [
  { pattern: /\w*answer\w*/gi, instead: "response, respond" },
  { pattern: /\w*refus(?:e|al|ing)\w*/gi, instead: "reject, rejection" },
  { pattern: /\bnobody\b/gi, instead: "no caller, none that …: name the subject" },
  { pattern: /\bwho(?:so)?ever\b/gi, instead: "a caller that …: name the subject" },
  { pattern: /\bin vain\b/gi, instead: "without success, or what happened" },
  { pattern: /\bby the word of\b/gi, instead: "according to" },
  { pattern: /\b(?:is|are|was|were) got\b/gi, instead: "is obtained" },
  { pattern: /\bwould else\b/gi, instead: "would otherwise" },
  { pattern: /\bhow-manieth\b/gi, instead: "ordinal" },
  { pattern: /\bgone on with\b/gi, instead: "continued" },
  { pattern: /\b(?:is|be|are) amiss\b/gi, instead: "is wrong" },
  { pattern: /\blest\b/gi, instead: "so that … not" },
  { pattern: /\bnothing of it\b/gi, instead: "none of it" },
  { pattern: /\bgot over\b/gi, instead: "recovered from" },
  { pattern: /\bis to be had\b/gi, instead: "is available" },
  { pattern: /\bout of sight of\b/gi, instead: "unseen by" }
]

/** The words of a text that the glossary replaces. */
export const oddWords = (file: string, text: string): ReadonlyArray<string> => {
  const allowed = allowances.filter(({ files }) => files.test(file)).map(({ pattern }) => pattern)
  const blanked = [...kept, ...allowed].reduce(
    (rest, pattern) => rest.replace(pattern, (match) => " ".repeat(match.length)),
    text
  )
  return words.flatMap(({ instead, pattern }) =>
    [...blanked.matchAll(pattern)].map((match) => `${file}:${lineAt(text, match.index)} says "${match[0]}": ${instead}`)
  )
}

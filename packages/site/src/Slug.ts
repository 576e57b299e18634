/** The anchor of a heading, as forges make it: a link with an anchor leads to the same place there and in the site. */
export const slug = (heading: string): string =>
  heading.trim().toLowerCase().replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, "").replaceAll(" ", "-")

/** Turns a user's query into words for the index. */

const maxTerms = 6
const maxTermLength = 256
/** Characters of the query that count. */
const maxQueryLength = 1_000

/**
 * The words and numbers of the query, each once. A hit has all of them. Marks, operators and quotes mean nothing. Only the
 * first 6 words within the first 1,000 characters count, so that no query blocks the store: the index would search for
 * 100,000 words for some twenty seconds.
 */
export function searchTerms(query: string): string[] {
  const words =
    query
      .slice(0, maxQueryLength)
      .toWellFormed()
      .match(/[\p{L}\p{N}\p{M}\p{Co}]+/gu) ?? []
  const terms = words.filter((word) => /[\p{L}\p{N}\p{Co}]/u.test(word))
  return [...new Set(terms.map((word) => cut(word.toLowerCase())))].slice(0, maxTerms)
}

/** Shortens a word, but never inside a surrogate pair. */
function cut(word: string): string {
  return word.length <= maxTermLength ? word : word.slice(0, maxTermLength).replace(/[\uD800-\uDBFF]$/, '')
}

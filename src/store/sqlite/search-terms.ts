/** What a user types into a search, as words for the index. */

const maxTerms = 6
const maxTermLength = 256
/** Of what is looked at. */
const maxQueryLength = 1_000

/**
 * Words and numbers of the query, each once: all of them have to be in a message. Marks, operators and quotes mean
 * nothing. The first 6 words of the first 1,000 characters count, so that no query holds the store up: an index looks
 * for 100,000 words some twenty seconds long.
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

/** Never in the middle of a character. */
function cut(word: string): string {
  return word.length <= maxTermLength ? word : word.slice(0, maxTermLength).replace(/[\uD800-\uDBFF]$/, '')
}

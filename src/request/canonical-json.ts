/**
 * JSON text in which equal values look equal, whatever the order of their fields.
 *
 * Room `request`: the prompt and the options of a user become the request that a provider gets. Imported by
 * `blocking`, `combinators`, `consensus`, `llm`, `session`, `tokens`.
 */

/**
 * The JSON text of a value, with the fields of each object in one order. Fields that are undefined are left out.
 * @param write the text of a value that needs one of its own; undefined leaves the value to JSON's rules
 * @throws RangeError for a value that contains itself
 */
export function canonicalJson(value: unknown, write: (value: unknown) => string | undefined): string {
  const own = write(value)
  if (own !== undefined) return own
  // Array.from, as map() would skip holes.
  if (Array.isArray(value)) return `[${Array.from(value, (entry) => canonicalJson(entry, write)).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const fields = orderedEntries(value).map(
    ([name, entry]) => `${JSON.stringify(name)}:${canonicalJson(entry, write)}`,
  )
  return `{${fields.join()}}`
}

/**
 * The defined fields of an object by name. Names that are whole numbers come first, by size, as in every JavaScript
 * object: the keys of caches that exist were made in this order.
 */
export function orderedEntries(value: object): [string, unknown][] {
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.entries(Object.fromEntries(entries))
}

/** The keys that a provider sends, so that none of them stands in an error, a `raw` or a log line. */

const placeholder = '[redacted]'
/** Shorter values ('x', 'test') are placeholders of local servers and would tear ordinary words. */
const minLength = 6
/** Keys remembered at most; a function may give a new one for every request. */
const maxRemembered = 32
const secretHeader = /^(authorization|proxy-authorization|cookie|.*(api-?key|token|secret).*)$/i

export class Secrets {
  readonly #values = new Set<string>()

  /** Remembers a key. */
  add(value: string | undefined): void {
    const bare = value?.replace(/^(Bearer|Basic)\s+/i, '')
    if (!bare || bare.length < minLength || this.#values.has(bare)) return
    if (this.#values.size >= maxRemembered) this.#values.delete(this.#values.values().next().value as string)
    this.#values.add(bare)
  }

  /** Remembers the headers that carry keys. */
  addHeaders(headers: unknown): void {
    for (const [name, value] of headerPairs(headers)) if (secretHeader.test(name)) this.add(String(value))
  }

  /** The text without any key. */
  redact(text: string): string {
    let clean = text
    for (const value of this.#values) clean = clean.replaceAll(value, placeholder)
    return clean
  }

  /** A parsed value without any key; `text` is what it was parsed from, and decides whether there is work at all. */
  clean(value: unknown, text: string): unknown {
    for (const secret of this.#values) if (text.includes(secret)) return JSON.parse(this.redact(text))
    return value
  }
}

/** Names and values of headers, in any of the forms that a fetch takes (and the Cohere SDK's own). */
export function headerPairs(headers: unknown): Iterable<[string, unknown]> {
  if (!headers) return []
  if (Array.isArray(headers)) return headers as [string, unknown][]
  const { entries } = headers as Partial<Headers>
  return typeof entries === 'function' ? (headers as Headers).entries() : Object.entries(headers)
}

/** The keys that a provider sends, so that none of them stands in an error, a `raw` or a log line. */

const placeholder = '[redacted]'
/** Shorter values ('x', 'test') are placeholders of local servers and would tear ordinary words. */
const minLength = 6
/** Keys remembered at most; a function may give a new one for every request, and each request knows its own. */
const maxRemembered = 32
const secretHeader = /^(authorization|proxy-authorization|cookie|.*(api-?key|token|secret).*)$/i

/** Whether a header customarily carries a key. */
export function isSecretHeader(name: string): boolean {
  return secretHeader.test(name)
}

export class Secrets {
  readonly #parent: Secrets | undefined
  readonly #values = new Set<string>()

  /** Keys of one request join those of its parent without staying there. */
  constructor(parent?: Secrets) {
    this.#parent = parent
  }

  /** Remembers a key. */
  add(value: string | undefined): void {
    const bare = value?.replace(/^(Bearer|Basic)\s+/i, '')
    if (!bare || bare.length < minLength || (this.#parent && this.#parent.#values.has(bare))) return
    // The forms in which an echo may quote it: as it is, in a URL, in JSON with escaped slashes, in a host's name.
    const forms = [bare, encodeURIComponent(bare), bare.replaceAll('/', '\\/'), bare.toLowerCase()]
    for (const form of new Set(forms)) {
      this.#values.delete(form)
      this.#values.add(form)
    }
    while (this.#values.size > maxRemembered * 4)
      this.#values.delete(this.#values.values().next().value as string)
  }

  /** Remembers the headers that carry keys. */
  addHeaders(headers: unknown): void {
    for (const [name, value] of headerPairs(headers)) if (isSecretHeader(name)) this.add(String(value))
  }

  /** The text without any key. */
  redact(text: string): string {
    let clean = this.#parent?.redact(text) ?? text
    for (const value of this.#values) if (clean.includes(value)) clean = clean.replaceAll(value, placeholder)
    return clean
  }

  /**
   * A parsed value without any key; `text` is what it was parsed from, and decides whether there is work at all. A key
   * may hide in the text behind escapes (`\\/`, `\\u0073`), and stands plain in the value.
   */
  clean(value: unknown, text: string): unknown {
    const mayHide = text.includes('\\') && (text.includes('\\u') || text.includes('\\/'))
    return mayHide || this.#isIn(text) ? this.#walk(value) : value
  }

  /** A copy that has the name, the code and the causes of an error: fetches put requests into theirs, parsers replies. */
  cleanError(error: unknown, depth = 0): Error {
    const { name, message, code, cause, errors } = (error ?? {}) as NodeJS.ErrnoException &
      Partial<AggregateError>
    const inner =
      Array.isArray(errors) && depth < 3 ? errors.map((one) => this.cleanError(one, depth + 1)) : undefined
    // Node's own, of a host with several addresses, says nothing itself.
    const said = (message && String(message)) || inner?.map((one) => one.message).join('; ') || String(error)
    const copy: NodeJS.ErrnoException = inner
      ? new AggregateError(inner, this.redact(said))
      : new Error(this.redact(said))
    copy.name = name ?? 'Error'
    if (code) copy.code = code
    if (cause instanceof Error && depth < 3) copy.cause = this.cleanError(cause, depth + 1)
    return copy
  }

  #isIn(text: string): boolean {
    for (const value of this.#values) if (text.includes(value)) return true
    return this.#parent ? this.#parent.#isIn(text) : false
  }

  #walk(value: unknown): unknown {
    if (typeof value === 'string') return this.redact(value)
    if (Array.isArray(value)) return value.map((item) => this.#walk(item))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [this.redact(name), this.#walk(item)]),
    )
  }
}

/** Names and values of headers, in any of the forms that a fetch takes (and the Cohere SDK's own). */
export function headerPairs(headers: unknown): Iterable<[string, unknown]> {
  if (!headers) return []
  if (Array.isArray(headers)) return headers as [string, unknown][]
  const { entries } = headers as Partial<Headers>
  return typeof entries === 'function' ? (headers as Headers).entries() : Object.entries(headers)
}

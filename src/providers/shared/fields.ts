/** JSON objects from vendors, whose fields are unknown until they are checked. */

export type Fields = Record<string, unknown>

/** A value as an object; an empty one when it is no object. */
export function asFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

/** The named fields of an object. Endpoints that count tokens refuse the other fields of a request body. */
export function pick(fields: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => names.includes(name)))
}

/** Whether a text is complete JSON and holds an object. */
export function isJsonObject(text: string): boolean {
  if (!text.trimStart().startsWith('{')) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Narrows parsed JSON from requests. */

/** A parsed JSON object whose fields are not checked yet. */
export type JsonObject = Record<string, unknown>

/** Whether a value is an object, but neither null nor an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value when it is a string, else undefined. */
export function asString(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** The objects in an array; an empty array for any other value. */
export function asObjects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** The text of a message's content: a string, a part with a `text` field, or an array of both; '' for other values. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (isObject(content)) return asString(content['text']) ?? ''
  if (!Array.isArray(content)) return ''
  return content.map(textOf).join('')
}

/** The value of a JSON text; undefined when the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

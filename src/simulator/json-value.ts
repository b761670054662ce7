/** Narrows parsed JSON that came from outside. */

/** A parsed JSON object whose fields nobody has checked yet. */
export type JsonObject = Record<string, unknown>

/** Whether a value is an object, and neither null nor an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value when it is a string, else undefined. */
export function asString(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** The objects in an array; nothing for any other value. */
export function asObjects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** The text of a content that is a string, or an array of strings and parts with a `text` field. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (isObject(content)) return asString(content['text']) ?? ''
  if (!Array.isArray(content)) return ''
  return content.map(textOf).join('')
}

/** The value of a JSON text; undefined where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

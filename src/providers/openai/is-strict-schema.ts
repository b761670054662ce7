/**
 * Whether OpenAI's strict mode takes a schema: every object is closed, and all of its properties are required.
 * Source: OpenAI, "Structured Outputs", supported schemas.
 */
export function isStrictSchema(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.every(isStrictSchema)
  if (typeof schema !== 'object' || schema === null) return true
  const { type, properties, required, additionalProperties } = schema as Record<string, unknown>
  if (type === 'object') {
    const names = Object.keys((properties as object | undefined) ?? {})
    const requiredNames = new Set((required as string[] | undefined) ?? [])
    if (additionalProperties !== false || !names.every((name) => requiredNames.has(name))) return false
  }
  return Object.values(schema).every(isStrictSchema)
}

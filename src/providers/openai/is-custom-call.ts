import type { ToolCall, ToolDefinition } from '../../types.ts'
import { isJsonObject } from '../shared/fields.ts'

/**
 * Whether a call belongs to a custom tool, whose input is free text. Custom tools are passed by `vendor`, so they are
 * not among `tools`. A call whose input is the text of a JSON object is an ordinary call with unparsed arguments.
 */
export function isCustomCall(call: ToolCall, tools: readonly ToolDefinition[] | undefined): boolean {
  const { name, arguments: input } = call
  return typeof input === 'string' && !isJsonObject(input) && !tools?.some((tool) => tool.name === name)
}

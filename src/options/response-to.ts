/** The type of a response, from the options of its call. */
import type { GenerateResponse, StructuredResponse } from '../types.ts'

/**
 * The response to a call: its `output` is always there where a schema was given and tools were not, since a reply that
 * calls a tool has none. `never` stands for what the call's options leave out; the LLM's own defaults decide then.
 */
export type ResponseTo<Output, Tool extends string, Default extends GenerateResponse = GenerateResponse> = [
  Output,
] extends [never]
  ? [Tool] extends [never]
    ? Default
    : GenerateResponse<Default['output']>
  : [Tool] extends [never]
    ? StructuredResponse<Output>
    : GenerateResponse<Output>

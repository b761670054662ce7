/** Structured output: turns the user's schema into JSON Schema for the vendor, and validates the reply with it. */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError, messageOf } from '../errors.ts'
import type { GenerateResponse } from '../types.ts'
import { invalidRequest } from './invalid-request.ts'

/**
 * The JSON Schema of the text that the model must write. It describes the schema's input, before the schema's own
 * transforms.
 * @throws ConvokeError `invalid_request` for a schema whose library makes no JSON Schema
 */
export function jsonSchemaOf(schema: StandardSchemaV1): Record<string, unknown> {
  const standard = schema['~standard'] as StandardSchemaV1['~standard'] &
    Partial<StandardJSONSchemaV1['~standard']>
  if (standard.jsonSchema) {
    try {
      return standard.jsonSchema.input({ target: 'draft-2020-12' })
    } catch (cause) {
      throw invalidRequest(`The schema has no JSON Schema: ${messageOf(cause)}`, cause)
    }
  }
  throw invalidRequest(
    `The schema of ${standard.vendor} has no JSON Schema. Use one that implements Standard JSON Schema (zod 4.2 and newer do), or wrap it with its library's converter.`,
  )
}

/**
 * The validated value of a reply.
 * @throws ConvokeError `content_filtered` when the model refused or the reply was filtered; `invalid_output` when the
 * text is no JSON or does not fit the schema, with every issue and its path
 */
export async function outputOf(response: GenerateResponse, schema: StandardSchemaV1): Promise<unknown> {
  const value = jsonOf(response)
  let result: StandardSchemaV1.Result<unknown>
  try {
    result = await schema['~standard'].validate(value)
  } catch (cause) {
    throw invalid(response, `The schema threw an error on the reply: ${messageOf(cause)}`, cause)
  }
  return valueOf(result, response)
}

/** The JSON value of the reply's text. A Markdown fence around the JSON is removed. */
function jsonOf(response: GenerateResponse): unknown {
  const { refusal, finishReason, content } = response
  if (refusal || finishReason === 'content-filter') {
    throw new ConvokeError(
      'content_filtered',
      `The model gave no output: ${refusal ?? 'its reply was filtered'}`,
    )
  }
  try {
    const text = content.replace(/^\uFEFF/, '')
    return JSON.parse(/^\s*```(?:json)?\s*\n([^]*?)\n\s*```\s*$/i.exec(text)?.[1] ?? text) as unknown
  } catch {
    throw invalid(response, `The reply is not JSON: ${excerpt(content)}`)
  }
}

function valueOf(result: StandardSchemaV1.Result<unknown>, response: GenerateResponse): unknown {
  if (!result.issues) return result.value
  const issues = result.issues.map(({ message, path = [] }) => {
    const keys = path.map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    return `${keys.join('.') || 'the whole value'}: ${message}`
  })
  throw invalid(response, `The reply does not fit the schema. ${issues.join('; ')}.`)
}

function invalid({ finishReason }: GenerateResponse, message: string, cause?: unknown): ConvokeError {
  const hint = finishReason === 'length' ? ' The reply was cut at its length limit; raise maxTokens.' : ''
  return new ConvokeError('invalid_output', message + hint, { cause })
}

function excerpt(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text || '(empty)'
}

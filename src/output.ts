/** Validated output: a schema of the user's becomes JSON Schema for the vendor, and judges what comes back. */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError, isConvokeError } from './errors.ts'
import type { GenerateResponse } from './types.ts'

/**
 * The JSON Schema of what the model is to write: the schema's input, before its own transforms.
 * @throws ConvokeError `invalid_request` for a schema whose library gives none
 */
export function jsonSchemaOf(schema: StandardSchemaV1): Record<string, unknown> {
  const standard = schema['~standard'] as StandardSchemaV1['~standard'] &
    Partial<StandardJSONSchemaV1['~standard']>
  if (standard.jsonSchema) {
    try {
      return standard.jsonSchema.input({ target: 'draft-2020-12' })
    } catch (cause) {
      throw new ConvokeError('invalid_request', `The schema has no JSON Schema: ${words(cause)}`, { cause })
    }
  }
  throw new ConvokeError(
    'invalid_request',
    `The schema of ${standard.vendor} has no JSON Schema. Use one that implements Standard JSON Schema (zod 4.2 and newer do), or wrap it with its library's converter.`,
  )
}

/**
 * The validated value that a reply's text holds. A fence of Markdown around the JSON is taken off.
 * @throws ConvokeError `invalid_output` when the text is no JSON or does not fit, with every issue and its path
 */
async function parseOutput(content: string, schema: StandardSchemaV1): Promise<unknown> {
  let value: unknown
  try {
    const text = content.replace(/^\uFEFF/, '')
    value = JSON.parse(/^\s*```(?:json)?\s*\n([^]*?)\n\s*```\s*$/i.exec(text)?.[1] ?? text)
  } catch {
    throw new ConvokeError('invalid_output', `The reply is not JSON: ${excerpt(content)}`)
  }
  let result: StandardSchemaV1.Result<unknown>
  try {
    result = await schema['~standard'].validate(value)
  } catch (cause) {
    throw new ConvokeError('invalid_output', `The schema failed on the reply: ${words(cause)}`, { cause })
  }
  if (!result.issues) return result.value
  const issues = result.issues.map(({ message, path = [] }) => {
    const keys = path.map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    return `${keys.join('.') || 'the whole'}: ${message}`
  })
  throw new ConvokeError('invalid_output', `The reply does not fit the schema. ${issues.join('; ')}.`)
}

function words(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

function excerpt(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text || '(empty)'
}

/**
 * The validated value of a reply. A refusal and a cut have causes of their own: the schema is not to blame.
 * @throws ConvokeError `content_filtered`, `invalid_output`
 */
export async function outputOf(response: GenerateResponse, schema: StandardSchemaV1): Promise<unknown> {
  const { refusal, finishReason, content } = response
  if (refusal || finishReason === 'content-filter') {
    throw new ConvokeError(
      'content_filtered',
      `The model gave no output: ${refusal ?? 'its reply was filtered'}`,
    )
  }
  try {
    return await parseOutput(content, schema)
  } catch (error) {
    if (finishReason === 'length' && isConvokeError(error)) {
      error.message += ' The reply ended at its length limit: raise maxTokens.'
    }
    throw error
  }
}

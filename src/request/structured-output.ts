/** Validated output: a schema of the user's becomes JSON Schema for the vendor, and judges what comes back. */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError, messageOf } from '../errors.ts'
import type { GenerateResponse } from '../types.ts'

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
      throw new ConvokeError('invalid_request', `The schema has no JSON Schema: ${messageOf(cause)}`, {
        cause,
      })
    }
  }
  throw new ConvokeError(
    'invalid_request',
    `The schema of ${standard.vendor} has no JSON Schema. Use one that implements Standard JSON Schema (zod 4.2 and newer do), or wrap it with its library's converter.`,
  )
}

/**
 * The validated value of a reply. A refusal and a cut have causes of their own: the schema is not to blame.
 * @throws ConvokeError `content_filtered`; `invalid_output` when the text is no JSON or does not fit, with every issue and
 * its path
 */
export async function outputOf(response: GenerateResponse, schema: StandardSchemaV1): Promise<unknown> {
  const value = jsonOf(response)
  let result: StandardSchemaV1.Result<unknown>
  try {
    result = await schema['~standard'].validate(value)
  } catch (cause) {
    throw failed(response, cause)
  }
  return valueOf(result, response)
}

/** What the text says. A fence of Markdown around the JSON is taken off. */
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
    return `${keys.join('.') || 'the whole'}: ${message}`
  })
  throw invalid(response, `The reply does not fit the schema. ${issues.join('; ')}.`)
}

function failed(response: GenerateResponse, cause: unknown): ConvokeError {
  return invalid(response, `The schema failed on the reply: ${messageOf(cause)}`, cause)
}

function invalid({ finishReason }: GenerateResponse, message: string, cause?: unknown): ConvokeError {
  const hint = finishReason === 'length' ? ' The reply ended at its length limit: raise maxTokens.' : ''
  return new ConvokeError('invalid_output', message + hint, { cause })
}

function excerpt(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text || '(empty)'
}

/** Stands for the user's schema in the blocking thread: the vendor gets its JSON Schema, the other thread validates. */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import type { SchemaAnswer } from '../protocol.ts'

/** Asks the waiting thread, which has the schema. `number` is that of the question. */
export type AskSchema = (value: unknown) => Promise<{ number: number; answer: SchemaAnswer }>

/** The number of the question stands for the schema's output, or for its error: both stay in the waiting thread. */
export function schemaReplica(outputSchema: Record<string, unknown>, ask: AskSchema): StandardSchemaV1 {
  const standard: StandardSchemaV1['~standard'] & StandardJSONSchemaV1['~standard'] = {
    version: 1,
    vendor: 'convoke',
    validate: async (value) => {
      const { number, answer } = await ask(value)
      if (answer.kind === 'failed') throw Object.assign(new Error(answer.message), { question: number })
      return answer.kind === 'fits' ? { value: number } : { issues: answer.issues }
    },
    jsonSchema: { input: () => outputSchema, output: () => outputSchema },
  }
  return { '~standard': standard }
}

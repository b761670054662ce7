/** A schema of the user's, which cannot cross: it judges here what the blocking thread has read. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError, messageOf } from '../errors.ts'
import type { SchemaQuestion, SchemaAnswer } from './protocol.ts'
import type { GenerateResponse } from '../types.ts'
import { beginCall } from '../threads/calls-in-flight.ts'
import { unavailable } from './may-block.ts'

export class SchemaCheck {
  readonly #schema: StandardSchemaV1
  /** What became of the replies here, where values and errors keep their class, by the numbers of the questions. */
  readonly #made = new Map<number, unknown>()
  readonly #failures = new Map<number, unknown>()

  constructor(schema: StandardSchemaV1) {
    this.#schema = schema
  }

  /** The other thread is told, and ends the call (and the turn of a session) as one of its own schema. */
  check({ number, value }: SchemaQuestion): SchemaAnswer {
    // A schema that blocks in its turn is inside a call.
    const end = beginCall()
    // Ctrl-C in a REPL, or the time-out of a vm, tears a schema away without its "finally".
    const torn = setImmediate(end)
    try {
      const result = this.#schema['~standard'].validate(value)
      if (isLater(result)) {
        // What comes of it concerns nobody any more.
        Promise.resolve(result).catch(() => {})
        throw unavailable(
          'The schema answered with a promise, which a blocked thread cannot wait for: one of its checks is asynchronous, or threw (zod). Use agenerate().',
        )
      }
      if (!result.issues) {
        this.#made.set(number, result.value)
        return { kind: 'fits' }
      }
      return { kind: 'issues', issues: result.issues.map(plainIssue) }
    } catch (error) {
      this.#failures.set(number, error)
      return { kind: 'failed', message: messageOf(error) }
    } finally {
      clearImmediate(torn)
      end()
    }
  }

  response<Response extends GenerateResponse>(response: Response): Response {
    const number = response.output as number
    return this.#made.has(number) ? { ...response, output: this.#made.get(number) } : response
  }

  error(error: ConvokeError): ConvokeError {
    const { question } = (error.cause ?? {}) as { question?: number }
    const failure = question === undefined ? undefined : this.#failures.get(question)
    if (failure === undefined || error.code !== 'invalid_output') return error
    if (failure instanceof ConvokeError && failure.code === 'blocking_unavailable') {
      const { attempts, partial } = error
      return failure.amend({ attempts, ...(partial ? { partial, model: partial.model } : {}) })
    }
    error.cause = failure
    return error
  }
}

/** A promise of any library. */
function isLater<Value extends object>(value: Value | Promise<Value>): value is Promise<Value> {
  return typeof (value as Partial<Promise<Value>>).then === 'function'
}

function plainIssue({ message, path = [] }: StandardSchemaV1.Issue): StandardSchemaV1.Issue {
  return { message, path: path.map((segment) => String(typeof segment === 'object' ? segment.key : segment)) }
}

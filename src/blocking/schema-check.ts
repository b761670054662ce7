/**
 * Checks replies by the user's schema in the waiting thread, because the schema's code cannot cross to the blocking
 * thread. That thread reads the reply and asks by a `SchemaQuestion`.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError, messageOf } from '../errors.ts'
import type { SchemaQuestion, SchemaAnswer } from './protocol.ts'
import type { GenerateResponse } from '../types.ts'
import { beginCall } from '../threads/calls-in-flight.ts'
import { unavailable } from './may-block.ts'

export class SchemaCheck {
  readonly #schema: StandardSchemaV1
  /** The schema's outputs, by the numbers of the questions. They stay here, where values keep their class. */
  readonly #outputs = new Map<number, unknown>()
  /** The errors that the schema threw, by the numbers of the questions. */
  readonly #failures = new Map<number, unknown>()

  constructor(schema: StandardSchemaV1) {
    this.#schema = schema
  }

  /** Asks the schema. The blocking thread gets the answer, and ends the call as after a check of its own. */
  check({ number, value }: SchemaQuestion): SchemaAnswer {
    // A schema that makes a blocking call itself is inside of this call.
    const endCall = beginCall()
    // Ctrl-C in a REPL, or the timeout of a vm, interrupts a schema without running the `finally` below.
    const afterInterrupt = setImmediate(endCall)
    try {
      const result = this.#schema['~standard'].validate(value)
      if (isPromise(result)) {
        // Nobody waits for this result, so its rejection must not end the process.
        Promise.resolve(result).catch(() => {})
        throw unavailable(
          'The schema answered with a promise, which a blocked thread cannot wait for: one of its checks is asynchronous, or threw (zod). Use agenerate().',
        )
      }
      if (!result.issues) {
        this.#outputs.set(number, result.value)
        return { kind: 'fits' }
      }
      return { kind: 'issues', issues: result.issues.map(toPlainIssue) }
    } catch (error) {
      this.#failures.set(number, error)
      return { kind: 'failed', message: messageOf(error) }
    } finally {
      clearImmediate(afterInterrupt)
      endCall()
    }
  }

  /** The response with the schema's output. From the blocking thread comes the number of the question in its place. */
  withOutput<Response extends GenerateResponse>(response: Response): Response {
    const number = response.output as number
    return this.#outputs.has(number) ? { ...response, output: this.#outputs.get(number) } : response
  }

  /** The error with what the schema threw as its cause. `blocking_unavailable` of a schema takes the error's place. */
  withFailure(error: ConvokeError): ConvokeError {
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

/** Whether the result is a promise, of any library. */
function isPromise<Value extends object>(value: Value | Promise<Value>): value is Promise<Value> {
  return typeof (value as Partial<Promise<Value>>).then === 'function'
}

function toPlainIssue({ message, path = [] }: StandardSchemaV1.Issue): StandardSchemaV1.Issue {
  return { message, path: path.map((segment) => String(typeof segment === 'object' ? segment.key : segment)) }
}

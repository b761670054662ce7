import { ConvokeError } from '../errors.ts'

/** The error for a prompt or a part that no vendor could take. */
export function invalidRequest(message: string, cause?: unknown): ConvokeError {
  return new ConvokeError('invalid_request', message, cause === undefined ? {} : { cause })
}

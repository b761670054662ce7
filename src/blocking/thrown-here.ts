/** The lines of a script in the stack of an error that comes from another thread. */
import type { ConvokeError } from '../errors.ts'

/** Its stack tells where it was made; where the call was is known to this thread alone. */
export function thrownHere(error: ConvokeError): ConvokeError {
  const here: { stack?: string } = {}
  Error.captureStackTrace(here, thrownHere)
  const frames = (here.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return Object.assign(error, { stack: [error.stack ?? String(error), ...frames].join('\n') })
}

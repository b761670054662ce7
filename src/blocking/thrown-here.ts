/** The lines of a script in the stack of an error that comes from another thread. */
import type { ConvokeError } from '../errors.ts'

/** Its stack tells where it was made; where the call was is known to this thread alone. */
export function thrownHere(error: ConvokeError): ConvokeError {
  const here: { stack?: string } = {}
  Error.captureStackTrace(here, thrownHere)
  const frames = (textOf(here.stack) ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return Object.assign(error, { stack: [textOf(error.stack) ?? String(error), ...frames].join('\n') })
}

/** Somebody's Error.prepareStackTrace may give anything. */
function textOf(stack: unknown): string | undefined {
  return typeof stack === 'string' ? stack : undefined
}

/** The error of a function or a promise. The test fails when there is none, or when it is no ConvokeError. */
import assert from 'node:assert/strict'
import { isConvokeError } from 'convoke'
import type { ConvokeError } from 'convoke'

export function thrown(act: () => unknown): ConvokeError {
  try {
    act()
  } catch (error) {
    assert.ok(isConvokeError(error), String(error))
    return error
  }
  assert.fail('no error')
}

export async function rejected(promise: Promise<unknown>): Promise<ConvokeError> {
  const error: unknown = await promise.then(
    () => assert.fail('no error'),
    (reason: unknown) => reason,
  )
  assert.ok(isConvokeError(error), String(error))
  return error
}

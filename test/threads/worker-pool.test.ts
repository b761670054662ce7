/** Threads that cannot start: every caller is told why. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import type { ConvokeError } from '../../src/errors.ts'
import { WorkerPool } from '../../src/threads/worker-pool.ts'
import type { WorkerName } from '../../src/threads/worker-pool.ts'
import { toStoreError } from '../../src/store/sqlite/thread/store-error.ts'

test(
  'a thread without what it needs is missing_dependency, for all that wait',
  { timeout: 20_000 },
  async () => {
    const pool = new WorkerPool<number, number>('nowhere' as WorkerName, { maxThreads: 1, idleMs: Infinity })
    const tasks = await Promise.allSettled(Array.from({ length: 50 }, (_, at) => pool.run(at)))
    for (const task of tasks) {
      assert.ok(task.status === 'rejected')
      const { code, message, cause } = task.reason as ConvokeError
      assert.equal(code, 'missing_dependency', message)
      assert.match(message, /nowhere.*Install/s)
      assert.equal((cause as { code?: string }).code, 'ERR_MODULE_NOT_FOUND')
    }
    await pool.close()
  },
)

test('a thread that dies as it starts says of what', { timeout: 20_000 }, async () => {
  const fault = '../test/faults/failing-start' as WorkerName
  const pool = new WorkerPool<number, number>(fault, { maxThreads: 1, idleMs: Infinity })
  const tasks = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => pool.run(at)))
  for (const task of tasks) {
    assert.ok(task.status === 'rejected')
    const { code, message } = task.reason as ConvokeError
    assert.deepEqual([code, /No room for this thread/.test(message)], ['worker_lost', true], message)
  }
  await pool.close()
})

test('a binary that does not load is missing_dependency with the remedy', () => {
  const error = Object.assign(new Error('wrong ELF class'), { code: 'ERR_DLOPEN_FAILED' })
  const { code, message } = toStoreError(error, '/tmp/chat.db')
  assert.equal(code, 'missing_dependency')
  assert.match(message, /Install it again/)
})

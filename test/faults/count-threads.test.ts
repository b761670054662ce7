/** Worker threads die while they count tokens: no count is wrong, no call hangs, and the process survives. */
import assert from 'node:assert/strict'
import type { Worker } from 'node:worker_threads'
import { countTokens, isConvokeError } from 'convoke'
import { afterEach, test } from 'vitest'

const model = 'gpt-4o'
const text = 'The quick brown fox jumps over the lazy dog. '.repeat(40_000)
const tokens = 400_001

/** The threads that the pool has started. */
const threads = new Set<Worker>()
let onStart = (_worker: Worker) => {}
process.on('worker', (worker: Worker) => {
  threads.add(worker)
  worker.once('exit', () => threads.delete(worker))
  onStart(worker)
})

afterEach(() => {
  onStart = () => {}
})

async function killAll(): Promise<number> {
  const dying = [...threads]
  await Promise.all(dying.map((worker) => worker.terminate()))
  return dying.length
}

test('a vocabulary that could not be loaded, since its threads died, is loaded by the next count', async () => {
  onStart = (worker) => void worker.terminate()
  await assert.rejects(countTokens('hi', { model: 'gpt-4' }), { code: 'worker_lost' })
  onStart = () => {}
  assert.equal((await countTokens('hi there', { model: 'gpt-4' })).tokens, 2)
})

test('a count outlives two threads, one after the other', async () => {
  await killAll()
  let toKill = 2
  onStart = (worker) => {
    if (toKill-- > 0) void worker.terminate()
  }
  assert.equal((await countTokens(text, { model })).tokens, tokens)
  assert.ok(toKill <= 0)
})

test('threads killed in the midst of a count are replaced, and the count is right', async (t) => {
  let killed = 0
  let otherAttempts = 0
  for (let round = 0; round < 10; round++) {
    const counts = Array.from({ length: 3 }, () => countTokens(text, { model }))
    const ended = Promise.allSettled(counts)
    await new Promise((done) => setTimeout(done, round * 6))
    killed += await killAll()
    for (const result of await ended) {
      if (result.status === 'fulfilled') assert.equal(result.value.tokens, tokens)
      else {
        assert.ok(
          isConvokeError(result.reason) && result.reason.code === 'worker_lost',
          String(result.reason),
        )
        otherAttempts++
      }
    }
  }
  await t.annotate(`10 rounds of 3 counts, ${killed} threads killed once: ${otherAttempts} counts lost`)
  assert.ok(killed > 10, String(killed))
  assert.equal(otherAttempts, 0)
})

test('where every thread dies, counts end by worker_lost, and the next ones are right', async () => {
  await killAll()
  onStart = (worker) => void worker.terminate()
  const results = await Promise.allSettled(
    [text, text, 'hi '.repeat(3_000)].map((each) => countTokens(each, { model })),
  )
  for (const result of results) {
    assert.equal(result.status, 'rejected')
    assert.equal((result.reason as { code?: string }).code, 'worker_lost')
  }
  onStart = () => {}
  assert.equal((await countTokens(text, { model })).tokens, tokens)
  assert.equal((await countTokens('hi there', { model })).tokens, 2)
})

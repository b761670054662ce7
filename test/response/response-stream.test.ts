import assert from 'node:assert/strict'
import { ConvokeError, createLLM, isConvokeError } from 'convoke'
import { registerProvider } from 'convoke/provider'
import type { GenerateResponse, LLMOptions } from 'convoke'
import type { ProviderChunk } from 'convoke/provider'
import { test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'

/** How many chunks the provider below was asked for. */
let given = 0
const large = 'x'.repeat(1_024 * 1_024)

/** A vendor of the tests' own: as many numbered chunks as the model's name says, then what it says after a colon. */
registerProvider('counter', () => ({
  name: 'counter',
  async *stream({ model }, signal): AsyncGenerator<ProviderChunk, void, void> {
    const [count = '0', ending = 'finish'] = model.split(':')
    given = 0
    yield { type: 'start', content: '', id: 'c1', model }
    for (let at = 0; at < Number(count); at++) {
      given++
      yield { type: 'text', content: `${at} ` }
    }
    if (ending === 'hang') await new Promise(() => {})
    if (ending === 'wait')
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    if (ending === 'break') throw new TypeError('a bug of the provider')
    if (ending === 'alive' || ending === 'ping') {
      for (let at = 0; at < 12; at++) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        yield ending === 'alive'
          ? { type: 'text', content: '' }
          : { type: 'usage', content: '', usage: { inputTokens: at } }
      }
    }
    if (ending === 'large') for (let at = 0; at < 60; at++) yield { type: 'text', content: large }
    if (ending !== 'stop') yield { type: 'finish', content: '', finishReason: 'stop' }
  },
}))

function counter(model: string, options: LLMOptions = {}) {
  return createLLM('counter', { model, retry: { attempts: 1 }, ...options })
}

function numbers(count: number): string {
  return Array.from({ length: count }, (_, at) => `${at} `).join('')
}

async function failure(promise: Promise<unknown>): Promise<ConvokeError> {
  const error: unknown = await promise.then(
    () => assert.fail('no error'),
    (reason: unknown) => reason,
  )
  assert.ok(isConvokeError(error), String(error))
  return error
}

const pause = (delayMs: number) => new Promise((resolve) => setTimeout(resolve, delayMs))

test('a stream is no thenable, so awaiting it gives the stream', async () => {
  const stream = await counter('3').agenerate('Hi', { stream: true })
  let text = ''
  for await (const chunk of stream) text += chunk.content
  assert.equal(text, numbers(3))
})

test('the response alone reads the stream to its end, beyond the buffer', async () => {
  const reply = await counter('5000', { streamConfig: { bufferSize: 10 } }).stream('Hi').response
  assert.equal(reply.content, numbers(5_000))
})

test('the response may be asked for before, while and after the stream is read', async () => {
  const stream = counter('500').stream('Hi')
  const before = stream.response
  let text = ''
  for await (const { content } of stream) text += content
  assert.equal(text, numbers(500))
  assert.equal((await before).content, text)
  assert.equal((await stream.response).content, text)
})

test('a reader that waits holds the provider back at bufferSize', async () => {
  const stream = counter('10000', { streamConfig: { bufferSize: 16 } }).stream('Hi')
  const iterator = stream[Symbol.asyncIterator]()
  await iterator.next()
  await pause(20)
  assert.ok(given <= 18, `${given} chunks were taken from the provider`)
  let count = 1
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) count++
  assert.equal(count, 10_002)
})

test('the idle clock stands still while the reader lets chunks wait', async (context) => {
  const clock = new FakeClock(context)
  const stream = counter('200', { streamConfig: { bufferSize: 4 }, timeouts: { idleMs: 30 } }).stream('Hi')
  let text = ''
  const read = async () => {
    for await (const { content } of stream) {
      if (content === '3 ') await pause(120)
      text += content
    }
  }
  await Promise.all([read(), clock.advance(200)])
  assert.equal(text, numbers(200))
})

test('a sign of life without content restarts the idle clock and is not delivered', async (context) => {
  const clock = new FakeClock(context)
  const stream = counter('1:alive', { timeouts: { idleMs: 120 } }).stream('Hi')
  const types: string[] = []
  const read = async () => {
    for await (const { type } of stream) types.push(type)
  }
  await Promise.all([read(), clock.advance(300)])
  assert.deepEqual(types, ['start', 'text', 'finish'])
})

test('counts alone, which a ping may carry, do not restart the idle clock', async (context) => {
  const clock = new FakeClock(context)
  const failed = failure(counter('1:ping', { timeouts: { idleMs: 120 } }).stream('Hi').response)
  await clock.advance(300)
  const error = await failed
  assert.deepEqual([error.code, error.phase], ['timeout', 'idle'])
})

test('a sign of life does not prolong the wait for the first content', async (context) => {
  const clock = new FakeClock(context)
  const failed = failure(
    counter('0:alive', { timeouts: { firstChunkMs: 110, idleMs: 5_000 } }).stream('Hi').response,
  )
  const startedAtMs = clock.nowMs
  const failedAtMs = failed.then(() => clock.nowMs)
  await clock.advance(300)
  const error = await failed
  assert.deepEqual([error.code, error.phase], ['timeout', 'firstChunk'])
  assert.equal((await failedAtMs) - startedAtMs, 110)
})

test('large pieces wait before bufferSize of them are there', async () => {
  const stream = counter('0:large').stream('Hi')
  const iterator = stream[Symbol.asyncIterator]()
  await iterator.next()
  await pause(20)
  const waitingMb = stream.partial.content.length / large.length
  assert.ok(waitingMb <= 6, `${waitingMb} pieces of 1 MiB wait`)
  let length = 0
  for (let next = await iterator.next(); !next.done; next = await iterator.next())
    length += next.value.content.length
  assert.equal(length, 60 * large.length)
})

test('.text gives the visible text alone', async () => {
  const pieces = []
  for await (const piece of counter('3').stream('Hi').text) pieces.push(piece)
  assert.deepEqual(pieces, ['0 ', '1 ', '2 '])
})

test('a stream is read once; a second reading is refused with the remedy', async () => {
  const stream = counter('3').stream('Hi')
  for await (const _ of stream);
  assert.throws(() => stream[Symbol.asyncIterator](), /stream\.response/)
})

test('partial tells what has arrived so far', async () => {
  const stream = counter('5').stream('Hi')
  for await (const { content } of stream) {
    if (content === '2 ') assert.ok(stream.partial.content.startsWith(numbers(3)))
  }
  assert.equal(stream.partial.finishReason, 'stop')
})

test('an error comes once, after the chunks before it', async () => {
  const stream = counter('3:stop').stream('Hi')
  const iterator = stream[Symbol.asyncIterator]()
  let text = ''
  const error = await failure(
    (async () => {
      for (let next = await iterator.next(); !next.done; next = await iterator.next())
        text += next.value.content
    })(),
  )
  assert.equal(error.code, 'stream_truncated')
  assert.equal(text, numbers(3))
  assert.deepEqual(await iterator.next(), { done: true, value: undefined })
})

test('an error that nobody looks at is no unhandled rejection', async () => {
  counter('1:break').stream('Hi')
  void counter('1:break')
    .stream('Hi')
    .response.catch(() => {})
  await pause(20)
})

test("a provider's own error becomes a ConvokeError with its cause and the partial reply", async () => {
  const error = await failure(counter('2:break').stream('Hi').response)
  assert.equal(error.code, 'malformed_response')
  assert.ok(error.cause instanceof TypeError)
  assert.equal(error.partial?.content, numbers(2))
})

test('a provider that does not listen to its signal is left behind when the call is cancelled', async () => {
  const llm = counter('2:hang')
  const stream = llm.stream('Hi')
  for await (const { content } of stream) if (content === '1 ') break
  assert.equal((await failure(stream.response)).code, 'cancelled')
  assert.deepEqual(llm.activity, { running: 0, queued: 0 })
})

test('leaving the loop at the finish chunk cancels nothing', async () => {
  const stream = counter('3').stream('Hi')
  for await (const { type } of stream) if (type === 'finish') break
  assert.equal((await stream.response).content, numbers(3))
})

test('maxChunks ends a stream with budget_exceeded', async () => {
  const error = await failure(counter('50', { streamConfig: { maxChunks: 10 } }).stream('Hi').response)
  assert.equal(error.code, 'budget_exceeded')
  assert.equal(error.partial?.content, numbers(11))
})

test('streamConfig has its own names for the two time-outs', async () => {
  const idle = await failure(
    counter('1:wait', { streamConfig: { chunkTimeoutMs: 20 } }).stream('Hi').response,
  )
  assert.deepEqual([idle.code, idle.phase], ['timeout', 'idle'])
  const total = await failure(
    counter('1:wait', { streamConfig: { streamTimeoutMs: 20 } }).stream('Hi').response,
  )
  assert.deepEqual([total.code, total.phase, total.isRetryable], ['timeout', 'total', false])
})

test('a call that waits in line does not run its clocks', async () => {
  const llm = counter('1', { maxConcurrent: 1, timeouts: { totalMs: 60 } })
  const first = llm
    .stream('Hi', { model: '1:wait', timeouts: { totalMs: 150 } })
    .response.catch(() => 'ended')
  const second = llm.agenerate('Hi')
  assert.equal(llm.activity.queued + llm.activity.running <= 2, true)
  assert.equal(await first, 'ended')
  assert.equal((await second).content, numbers(1))
})

test('closing an LLM cancels its calls and refuses new ones', async () => {
  const llm = counter('1:wait')
  const stream = llm.stream('Hi')
  await pause(5)
  await llm.close()
  assert.equal((await failure(stream.response)).code, 'cancelled')
  assert.equal((await failure(llm.agenerate('Hi'))).code, 'configuration')
})

test('`await using` ends a stream and an LLM', async () => {
  const llm = counter('1:wait')
  {
    await using stream = llm.stream('Hi')
    assert.ok(stream)
    await pause(5)
    assert.equal(llm.activity.running, 1)
  }
  assert.equal(llm.activity.running, 0)
})

test('a finish that finds the buffer full ends the call at once: nothing hangs, and finish comes last', async () => {
  const llm = counter('3', { streamConfig: { bufferSize: 5 }, timeouts: { totalMs: 200 } })
  const stream = llm.stream('Hi')
  await pause(20)
  assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  await pause(250)
  const types = []
  for await (const { type } of stream) types.push(type)
  assert.deepEqual(types, ['start', 'text', 'text', 'text', 'finish'])
})

test('a call that is cancelled before it joins the line is cancelled', async () => {
  const llm = counter('1:wait', { maxConcurrent: 1 })
  const running = llm.stream('Hi')
  await pause(5)
  const second = llm.stream('Hi')
  second.cancel()
  const controller = new AbortController()
  const third = llm.agenerate('Hi', { signal: controller.signal })
  controller.abort()
  for (const promise of [second.response, third]) {
    const error = await failure(promise)
    assert.deepEqual([error.code, error.attempts, error.partial?.usage.totalTokens], ['cancelled', 0, 0])
  }
  assert.deepEqual(llm.activity, { running: 1, queued: 0 })
  running.cancel()
  await failure(running.response)
})

test('partial is a snapshot: what comes later does not change it', async () => {
  const stream = counter('500', { streamConfig: { bufferSize: 2 } }).stream('Hi')
  let early: GenerateResponse | undefined
  for await (const { content } of stream) if (content === '5 ') early = stream.partial
  assert.deepEqual(early?.message.content, [{ type: 'text', text: early?.content }])
  assert.ok((early?.content.length ?? 0) < numbers(500).length)
})

test('a provider that could not be made is made again at the next call', async () => {
  let tries = 0
  registerProvider('flaky', () => {
    if (++tries === 1) throw new Error('not yet')
    return {
      name: 'flaky',
      async *stream() {
        yield { type: 'text', content: 'ok' }
        yield { type: 'finish', content: '', finishReason: 'stop' }
      },
    }
  })
  const llm = createLLM('flaky/m')
  const error = await failure(llm.agenerate('Hi'))
  assert.deepEqual([error.code, error.provider], ['configuration', 'flaky'])
  assert.match(error.message, /could not be made: not yet/)
  assert.equal((await llm.agenerate('Hi')).content, 'ok')
})

test('a provider that is never made does not hold a cancelled call', async () => {
  registerProvider('never', () => new Promise(() => {}))
  const stream = createLLM('never/m').stream('Hi')
  setTimeout(() => stream.cancel(), 10)
  assert.equal((await failure(stream.response)).code, 'cancelled')
})

test('a call that was admitted before is not refused by a full line when it tries again', async () => {
  let tries = 0
  registerProvider('busy', () => ({
    name: 'busy',
    async *stream({ model }) {
      if (model === 'fails once' && ++tries === 1) throw new ConvokeError('overloaded', 'Busy.')
      await pause(30)
      yield { type: 'finish', content: '', finishReason: 'stop' }
    },
  }))
  const llm = createLLM('busy', { maxConcurrent: 1, maxQueue: 0, retry: { minDelayMs: 5 } })
  const first = llm.agenerate('Hi', { model: 'fails once' })
  await pause(1)
  const second = llm.agenerate('Hi', { model: 'slow' }).catch((error: ConvokeError) => error.code)
  assert.equal((await first).timing.attempts, 2)
  await second
})

/** generate(): calls that block, against what the same calls give on the async side. */
import assert from 'node:assert/strict'
import {
  consensusSync,
  countTokens,
  countTokensSync,
  createLLM,
  createSession,
  isConvokeError,
  majority,
} from 'convoke'
import type { ConvokeError, GenerateResponse, LLMOptions, StreamChunk } from 'convoke'
import { test } from 'vitest'
import { z } from 'zod'
import { blockingLLM, rejected, thrown, vendors } from '../support/blocking-kit.ts'
import type { Vendor } from '../support/blocking-kit.ts'
import { answeredBy, simulatorThread } from '../support/simulator-thread.ts'

const simulator = await simulatorThread()
const llmOf = (vendor: Vendor, options?: LLMOptions) => blockingLLM(simulator, vendor, options)
/** Without what is another's in each call. */
function comparable(response: GenerateResponse): object {
  const { timing, id: _id, raw: _raw, ...rest } = response
  return { ...rest, attempts: timing.attempts }
}

function comparableError(error: ConvokeError): object {
  const { partial, stack: _stack, cause, ...fields } = error
  return {
    ...fields,
    message: error.message,
    partial: partial && comparable(partial),
    // With what the vendor said: its status, headers and body.
    cause:
      cause instanceof Error
        ? { ...comparableFields(cause), name: cause.name, message: cause.message }
        : cause,
  }
}

/** Without what is another at each request. */
function comparableFields(error: Error): object {
  const { headers = {}, ...fields } = error as { headers?: object }
  const plain = JSON.stringify(fields).replaceAll(/\b[a-z]+_simulated\w+|[0-9a-f-]{36}/gi, 'id')
  return { ...(JSON.parse(plain) as object), headers: Object.keys(headers).sort() }
}

const rich = answeredBy({
  text: 'It is "\u2028 data: [DONE]\u0000 größer 数 👩‍👩‍👧 fine.',
  reasoning: 'Let me see.',
  toolCalls: [{ id: 'call_1', name: 'weather', arguments: { city: 'Oslo', days: [1, 2] } }],
  usage: { inputTokens: 21, outputTokens: 34, cachedInputTokens: 8, reasoningTokens: 5 },
})
const tools = [{ name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } }]

for (const vendor of vendors) {
  test(`${vendor}: a blocking call gives what the awaited one gives`, async () => {
    const llm = llmOf(vendor)
    const awaited = await llm.agenerate(rich, { tools })
    const blocking = llm.generate(rich, { tools })
    assert.deepEqual(comparable(blocking), comparable(awaited))
    assert.equal(blocking.toolCalls[0]?.name, 'weather')
    assert.ok(blocking.timing.totalMs > 0)
  })

  test(`${vendor}: a blocking stream gives the chunks of the async one`, async () => {
    const llm = llmOf(vendor)
    const expected: StreamChunk[] = []
    const stream = llm.stream(rich, { tools })
    for await (const chunk of stream) expected.push(chunk)
    const chunks = [...llm.generate(rich, { tools, stream: true })]
    const plain = (list: StreamChunk[]) =>
      list.map(({ ...chunk }) => ({ ...chunk, raw: undefined, id: undefined }))
    assert.deepEqual(plain(chunks), plain(expected))
    assert.equal(chunks.map(({ content }) => content).join(''), (await stream.response).content)
  })

  test(`${vendor}: every fault is the error that it is on the async side`, async () => {
    const llm = llmOf(vendor)
    const text = 'Once upon a time there was a stream that never told how it ended.'
    const faults = [
      { status: 401 },
      { status: 429, retryAfter: 7 },
      { status: 503 },
      { reset: true as const },
      { cutAfter: 0.5 },
      { errorAfter: 0.5 },
      { junkAfter: 0.5 },
    ]
    for (const fault of faults) {
      const prompt = answeredBy({ text, fault })
      const expected = comparableError(await rejected(llm.agenerate(prompt)))
      assert.deepEqual(comparableError(thrown(() => llm.generate(prompt))), expected, JSON.stringify(fault))
      const stream = llm.stream(prompt)
      const broken = comparableError(await rejected(stream.response))
      const blocking = llm.generate(prompt, { stream: true })
      assert.deepEqual(comparableError(thrown(() => [...blocking])), broken, JSON.stringify(fault))
      // The end is told again to who asks for the whole.
      assert.deepEqual(comparableError(thrown(() => blocking.response)), broken)
    }
  })
}

test('the stack of an error names the line that blocked', () => {
  const prompt = answeredBy({ fault: { status: 401 } })
  for (const error of [
    thrown(function whole() {
      llmOf('openai').generate(prompt)
    }),
    thrown(function streamed() {
      for (const chunk of llmOf('openai').generate(prompt, { stream: true })) assert.ok(chunk)
    }),
  ]) {
    assert.match(
      error.stack ?? '',
      /^ConvokeError: .*401[^]*vendor-error\.[tj]s[^]*at (whole|streamed) .*generate\.test/,
    )
    assert.ok(!Object.keys(error).includes('stack'))
  }
})

test('a stream comes piece by piece, and its first piece with the first wait', () => {
  const chunks = ['one', ' two', ' three', ' four']
  // The second piece never comes: a wait for the whole reply would not end.
  const stuck = llmOf('openai').generate(answeredBy({ chunks, paceMs: 3_600_000 }), { stream: true })
  for (const { content } of stuck) {
    if (content === '') continue
    assert.equal(content, 'one')
    break
  }
  const pieces: string[] = []
  const stream = llmOf('openai').generate(answeredBy({ chunks, paceMs: 100 }), { stream: true })
  for (const { content } of stream) if (content) pieces.push(content)
  assert.deepEqual(pieces, chunks)
  assert.equal(stream.response.content, 'one two three four')
  assert.equal(stream.response.usage.source, 'provider')
})

test('leaving the loop closes the socket, and tells what had arrived', async () => {
  for (const vendor of vendors) {
    const stream = llmOf(vendor).generate(answeredBy({ text: 'word '.repeat(200), paceMs: 20 }), {
      stream: true,
    })
    for (const { content } of stream) if (content) break
    const error = thrown(() => stream.response)
    assert.equal(error.code, 'cancelled')
    assert.match(error.partial?.content ?? '', /^wor/)
    assert.equal(error.partial?.usage.source, 'estimated')
    assert.deepEqual([...stream], [])
    await new Promise((resolve) => setTimeout(resolve, 150))
    assert.equal(await simulator.openStreams(), 0, vendor)
  }
})

test('the text of a stream, its whole, cancelling it and disposing of it', () => {
  const llm = llmOf('openai')
  const prompt = answeredBy({ chunks: ['a', 'b', 'c'] })
  assert.deepEqual([...llm.generate(prompt, { stream: true }).text].join(''), 'abc')
  assert.equal(llm.generate(prompt, { stream: true }).response.content, 'abc')
  const slow = answeredBy({ chunks: ['a', 'b', 'c'], paceMs: 3_600_000 })
  const cancelled = llm.generate(slow, { stream: true })
  while (cancelled.next().value?.content !== 'a');
  cancelled.cancel('enough')
  assert.match(thrown(() => [...cancelled]).message, /cancelled: enough/)
  // Once: then it is at its end.
  assert.deepEqual([...cancelled], [])
  {
    using disposed = llm.generate(slow, { stream: true })
    assert.equal(disposed.next().value?.type, 'start')
  }
  const whole = llm.generate(prompt, { stream: true })
  assert.equal(whole.response.content, 'abc')
  whole.cancel()
  assert.equal(whole.response.content, 'abc')
})

test('whether it streams may be known only when it runs', async () => {
  const llm = llmOf('openai')
  const session = createSession(llm)
  for (const stream of [true, false] as boolean[]) {
    for (const made of [llm.generate('Hi', { stream }), session.generate('Hi', { stream })])
      assert.ok('response' in made ? made.response.content : made.content)
    const turn = session.agenerate('Hi', { stream })
    assert.ok((await ('response' in turn ? turn.response : turn)).persisted)
  }
  await session.close()
})

test('the time-outs of a call hold', () => {
  const llm = llmOf('openai', { timeouts: { firstChunkMs: 200, idleMs: 100, totalMs: 1_000 } })
  const stalled = answeredBy({ chunks: ['a', 'b', 'c', 'd'], fault: { stallAfter: 0.6 } })
  const stream = llm.generate(stalled, { stream: true })
  const error = thrown(() => [...stream])
  assert.equal(error.code, 'timeout')
  assert.equal(error.phase, 'idle')
  assert.match(error.partial?.content ?? '', /^a/)
  const silent = thrown(() =>
    llm.generate(answeredBy({ text: 'x', latencyMs: 60_000 }), { timeouts: { idleMs: 5_000, totalMs: 300 } }),
  )
  assert.deepEqual([silent.code, silent.phase], ['timeout', 'total'])
})

test('retries, and the waits that the vendor asks for, are those of the async side', () => {
  const llm = llmOf('openai', { retry: { attempts: 3, minDelayMs: 1 } })
  const reply = llm.generate('Again, please.', { vendor: {}, system: 'x' })
  assert.equal(reply.timing.attempts, 1)
  const error = thrown(() => llm.generate(answeredBy({ fault: { status: 503 } })))
  assert.deepEqual([error.code, error.attempts], ['overloaded', 3])
})

test('a stream of more chunks than any buffer holds comes whole', () => {
  const chunks = Array.from({ length: 3_000 }, (_, at) => `${at} `)
  const stream = llmOf('openai').generate(answeredBy({ chunks }), { stream: true })
  assert.equal([...stream.text].join(''), chunks.join(''))
})

test('what a restart takes back is told with its error', () => {
  const llm = llmOf('openai', { retry: { attempts: 2, minDelayMs: 1, replay: 'restart' } })
  const stream = llm.generate(answeredBy({ text: 'abc def ghi', fault: { cutAfter: 0.5 } }), { stream: true })
  const resets: StreamChunk[] = []
  thrown(() => {
    for (const chunk of stream) if (chunk.type === 'reset') resets.push(chunk)
  })
  const [reset] = resets
  assert.ok(reset?.type === 'reset' && isConvokeError(reset.error))
  assert.equal(reset.error.code, 'stream_truncated')
})

test('a call that waits for its slot has its own time behind that, as on the async side', () => {
  const llm = llmOf('openai', { maxConcurrent: 1 })
  const prompt = answeredBy({ chunks: ['a', 'b', 'c', 'd'], paceMs: 200 })
  const open = llm.generate(prompt, { stream: true })
  open.next()
  assert.ok(llm.generate('Hi', { timeouts: { totalMs: 500 } }).content)
  assert.equal(open.response.content, 'abcd')
})

test('a schema judges on this side, and its value is what it makes', async () => {
  const llm = llmOf('openai')
  const schema = z.object({ city: z.string(), on: z.iso.date().transform((text) => new Date(text)) })
  const input = z.object({ city: z.string() })
  const typed = llm.generate(answeredBy({ text: '{"city":"Oslo"}' }), { schema: input })
  assert.equal(typed.output?.city.length, 4)
  const dated = answeredBy({ text: '{"city":"Oslo","on":"2026-01-02"}' })
  assert.ok(llm.generate(dated, { schema }).output?.on instanceof Date)
  const wrong = answeredBy({ text: '{"city":7}' })
  const expected = comparableError(await rejected(llm.agenerate(wrong, { schema: input })))
  assert.deepEqual(comparableError(thrown(() => llm.generate(wrong, { schema: input }))), expected)
  const stream = llm.generate(wrong, { schema: input, stream: true })
  const chunks: StreamChunk[] = []
  assert.equal(
    thrown(() => {
      for (const chunk of stream) chunks.push(chunk)
    }).code,
    'invalid_output',
  )
  assert.ok(!chunks.some(({ type }) => type === 'finish'))
  // Not by zod, which takes whatever is thrown for a sign of asynchronous checks.
  const validate = () => {
    throw new RangeError('out of order')
  }
  const broken = { '~standard': { ...input['~standard'], validate } }
  const failure = thrown(() => llm.generate(typedPrompt, { schema: broken }))
  assert.ok(failure.cause instanceof RangeError)
  assert.deepEqual(
    comparableError(failure),
    comparableError(await rejected(llm.agenerate(typedPrompt, { schema: broken }))),
  )
  const patient = z.object({ city: z.string() }).refine(async () => Promise.resolve(true))
  const refused = thrown(() => llm.generate(typedPrompt, { schema: patient }))
  assert.deepEqual([refused.code, refused.attempts], ['blocking_unavailable', 1])
  assert.equal(refused.partial?.content, '{"city":"Oslo"}')
})

const typedPrompt = answeredBy({ text: '{"city":"Oslo"}' })

test('what is large, binary-looking or made of bytes crosses whole', async () => {
  const llm = llmOf('openai', { timeouts: { idleMs: 60_000 } })
  const large = 'größer 数 \u2028 '.repeat(700_000)
  assert.equal(llm.generate(answeredBy({ text: large })).content, large)
  assert.equal(
    llm.generate(answeredBy({ text: large, chunkSize: 50_000 }), { stream: true }).response.content,
    large,
  )
  const odd = Array.from({ length: 300 }, (_, code) => String.fromCharCode(code)).join('')
  assert.equal(llm.generate(answeredBy({ text: odd })).content, odd)
  const picture = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  )
  const content = [
    { type: 'text' as const, text: 'What is it?' },
    { type: 'image' as const, image: picture },
    { type: 'image' as const, image: new URL(`data:image/png;base64,${picture.toString('base64')}`) },
  ]
  llm.generate({ role: 'user', content })
  await llm.agenerate({ role: 'user', content })
  const [blocking, awaited] = (await simulator.requests()).slice(-2)
  assert.deepEqual(blocking?.body, awaited?.body)
  assert.ok(JSON.stringify(blocking?.body).includes(picture.toString('base64')))
})

test('what has a form of its own in JSON crosses in that form', async () => {
  class Version {
    readonly number = 7
    toJSON(): string {
      return `v${this.number}`
    }
  }
  const llm = llmOf('openai')
  const vendor = { user: new Version(), metadata: JSON.parse('{"__proto__":{"a":1}}') as object }
  llm.generate('Hi', { vendor })
  await llm.agenerate('Hi', { vendor })
  const [blocking, awaited] = (await simulator.requests()).slice(-2)
  assert.equal(JSON.stringify(blocking?.body), JSON.stringify(awaited?.body))
  assert.match(JSON.stringify(blocking?.body), /"user":"v7"/)
})

test('data may have any names, those of what convoke notes beside its own objects too', async () => {
  const llm = llmOf('openai')
  const flight = { id: 'call_1', name: 'flight', arguments: { origin: 'Oslo', plain: true } }
  const prompt = [
    { role: 'user' as const, content: 'Find a flight.' },
    { role: 'assistant' as const, content: '', toolCalls: [flight] },
    { role: 'tool' as const, toolCallId: 'call_1', content: { origin: { name: 'OSL' } } },
  ]
  llm.generate(prompt, { metadata: { origin: 'web' } })
  await llm.agenerate(prompt, { metadata: { origin: 'web' } })
  const [blocking, awaited] = (await simulator.requests()).slice(-2)
  assert.deepEqual(blocking?.body, awaited?.body)
  assert.match(JSON.stringify(blocking?.body), /Oslo.*OSL/)
})

test('a key of the environment is the one that was there when the LLM was made', () => {
  process.env['GROQ_API_KEY'] = 'sk-secret-key-1234567890'
  const llm = createLLM('groq', { baseURL: simulator.baseURL('openai'), model: 'gpt-4o-mini' })
  delete process.env['GROQ_API_KEY']
  assert.ok(llm.generate('Hi').content)
})

test('totalMs bounds a call that waits in line as well, a second later', () => {
  const llm = llmOf('openai', { rateLimit: { requestsPerMinute: 1 } })
  llm.generate('one')
  const { code, phase, attempts, partial } = thrown(() => llm.generate('two', { timeouts: { totalMs: 200 } }))
  assert.deepEqual([code, phase, attempts, partial?.finishReason], ['timeout', 'total', 0, 'error'])
  const stream = llm.generate('three', { stream: true, timeouts: { totalMs: 200 } })
  assert.deepEqual(
    [thrown(() => stream.response).code, thrown(() => stream.next()).phase],
    ['timeout', 'total'],
  )
})

test('consensusSync with a strategy keeps its limit in line as well', () => {
  const llm = llmOf('openai', { rateLimit: { requestsPerMinute: 1 } })
  const given = { strategy: majority(), timeouts: { totalMs: 100 }, timeoutMs: 1_000 }
  const { status, failures } = consensusSync([llm, llm], 'Hi', given)
  assert.deepEqual([status, failures.map(({ error }) => error.code)], ['degraded', ['timeout']])
})

test('an LLM keeps its rate, however many others are called meanwhile', () => {
  const limited = llmOf('openai', { rateLimit: { requestsPerMinute: 1 } })
  limited.generate('one')
  for (let made = 0; made < 110; made++) llmOf('openai').generate('other')
  assert.equal(thrown(() => limited.generate('two', { timeouts: { totalMs: 1 } })).code, 'timeout')
})

test('no key is seen in what crosses back', () => {
  const llm = llmOf('openai')
  const error = thrown(() =>
    llm.generate(answeredBy({ fault: { status: 401, message: 'bad key sk-secret-key-1234567890' } })),
  )
  const seen = JSON.stringify([
    error,
    error.message,
    error.stack,
    String(error.cause),
    (error.cause as Error).stack,
  ])
  assert.ok(!seen.includes('sk-secret'), seen)
})

test('tokens are counted while the thread waits', async () => {
  const llm = llmOf('openai')
  const prompt = 'How many tokens are these words, please?'
  assert.deepEqual(llm.countTokensSync(prompt), await llm.countTokens(prompt))
  assert.deepEqual(
    countTokensSync(prompt, { model: 'gpt-4o' }),
    await countTokens(prompt, { model: 'gpt-4o' }),
  )
  assert.equal(thrown(() => countTokensSync(prompt, { model: '' })).code, 'invalid_request')
  const schema = z.object({ city: z.string() })
  const withSchema = await llm.countTokens(prompt, { schema })
  assert.deepEqual(llm.countTokensSync(prompt, { schema }), withSchema)
  assert.deepEqual(llmOf('openai', { schema }).countTokensSync(prompt), withSchema)
})

import assert from 'node:assert/strict'
import { createLLM, isConvokeError, listProviders } from 'convoke'
import { registerProvider } from 'convoke/provider'
import type { ErrorCode, LLMOptions } from 'convoke'
import { test } from 'vitest'
import { mergeOptions } from '../../src/options/settings.ts'
import { settingsOf } from '../../src/options/settings.ts'

const key = { apiKey: 'sk-test-0123456789' }

function refused(make: () => unknown, code: ErrorCode, words: RegExp) {
  assert.throws(make, (error) => {
    assert.ok(isConvokeError(error), String(error))
    assert.equal(error.code, code)
    assert.match(error.message, words)
    return true
  })
}

for (const [name, options, words] of [
  ['a misspelt option', { temprature: 1 }, /no option temprature\. Did you mean temperature\?/],
  ['an unknown option', { frobnicate: 1 }, /no option frobnicate\.$/],
  ['a text for a number', { temperature: 'hot' }, /temperature is "hot"; it takes a number/],
  ['not a number', { topP: NaN }, /topP is NaN/],
  ['half a token', { maxTokens: 1.5 }, /maxTokens is 1\.5; it takes a whole number from 1/],
  [
    'a time-out of nothing',
    { timeouts: { idleMs: 0 } },
    /timeouts\.idleMs is 0; it takes milliseconds above 0/,
  ],
  ['an unknown time-out', { timeouts: { idle: 5 } }, /no option timeouts\.idle\. Did you mean idleMs\?/],
  ['an unknown replay', { retry: { replay: 'always' } }, /replay is "always"; it takes 'before-output'/],
  ['a relative base URL', { baseURL: 'localhost/v1' }, /baseURL is "localhost\/v1"; it takes a URL/],
  ['a name of every object', { constructor: 1 }, /no option constructor/],
  ['null for options', null, /The options are null; pass an object/],
  ['null for time-outs', { timeouts: null }, /timeouts is null; it takes an object/],
  ['an unknown effort', { reasoning: 'hihg' }, /reasoning is "hihg"; it takes true, false, none, minimal/],
  ['a tool without a name', { tools: [{}] }, /tools is a list; it takes a list of tools, each with a name/],
  ['a number among stop texts', { stop: [1] }, /stop is a list; it takes a string or a list of strings/],
  ['no room at all', { maxConcurrent: 0 }, /maxConcurrent is 0/],
  [
    'half a request a minute',
    { rateLimit: { requestsPerMinute: 0.5 } },
    /rateLimit\.requestsPerMinute is 0\.5; it takes a whole number from 1/,
  ],
  [
    'no token at all',
    { rateLimit: { tokensPerMinute: 0 } },
    /rateLimit\.tokensPerMinute is 0; it takes a number above 0/,
  ],
  [
    'a misspelt rate',
    { rateLimit: { requestPerMinute: 1 } },
    /no option rateLimit\.requestPerMinute\. Did you mean requestsPerMinute\?/,
  ],
  [
    'a bare rate',
    { rateLimit: 60 },
    /rateLimit is 60; it takes an object, such as \{ requestsPerMinute: 60 \}/,
  ],
  ['null for a rate', { rateLimit: null }, /rateLimit is null; it takes an object/],
  [
    'a circuit breaker that is always open',
    { circuitBreaker: { failures: 0 } },
    /circuitBreaker\.failures is 0; it takes a whole number from 1/,
  ],
  [
    'an endless cool-down',
    { circuitBreaker: { cooldownMs: Infinity } },
    /circuitBreaker\.cooldownMs is Infinity; it takes milliseconds above 0/,
  ],
  [
    'a number for a circuit breaker',
    { circuitBreaker: 5 },
    /circuitBreaker is 5; it takes true, false or \{ failures, cooldownMs \}/,
  ],
  ['null for a circuit breaker', { circuitBreaker: null }, /circuitBreaker is null; it takes true, false/],
] as [string, object | null, RegExp][]) {
  test(`createLLM refuses ${name}`, () => {
    const given = options && { ...key, ...options }
    refused(() => createLLM('openai', given as LLMOptions), 'configuration', words)
  })
}

test('createLLM takes every form of the rate and of the circuit breaker', () => {
  for (const options of [
    { rateLimit: {} },
    { rateLimit: { requestsPerMinute: 1, tokensPerMinute: 0.5 } },
    { rateLimit: { requestsPerMinute: Infinity, tokensPerMinute: Infinity } },
    { circuitBreaker: true },
    { circuitBreaker: false },
    { circuitBreaker: {} },
    { circuitBreaker: { failures: 1, cooldownMs: 1 } },
  ]) {
    createLLM('openai', { ...key, ...options })
  }
})

test('options of the LLM alone do not reach the provider’s request', async () => {
  let asked: object = {}
  registerProvider('looks-at-options', () => ({
    name: 'looks-at-options',
    async *stream(request) {
      asked = request
      yield { type: 'finish', content: '', finishReason: 'stop' }
    },
  }))
  const options = { maxConcurrent: 1, maxQueue: 1, rateLimit: { requestsPerMinute: 1 }, circuitBreaker: true }
  await createLLM('looks-at-options/m', { ...options, ...key, name: 'mine' }).agenerate('Hi')
  assert.deepEqual(Object.keys(asked).sort(), ['connectMs', 'idleMs', 'messages', 'model', 'warn'])
})

test('the rate and the circuit breaker are options of an LLM, not of a call', async () => {
  const llm = createLLM('openai/gpt', { ...key, baseURL: 'http://127.0.0.1:9' })
  for (const options of [{ rateLimit: {} }, { circuitBreaker: true }]) {
    await assert.rejects(llm.agenerate('Hi', options as object), {
      code: 'invalid_request',
      message: /The option (rateLimit|circuitBreaker) belongs to createLLM, not to a call/,
    })
  }
})

test('a call refuses the same, as invalid_request, and sends nothing', async () => {
  const llm = createLLM('openai/gpt', { ...key, baseURL: 'http://127.0.0.1:9' })
  refused(
    () => llm.stream('Hi', { temprature: 1 } as object),
    'invalid_request',
    /\[openai\] There is no option/,
  )
  await assert.rejects(llm.agenerate('Hi', { maxTokens: -1 }), /\[openai\] The option maxTokens is -1/)
  await assert.rejects(llm.agenerate('Hi', null as never), /\[openai\] The options are null; pass an object/)
})

test('a missing key names the variable that may hold it', () => {
  const saved = process.env['OPENAI_API_KEY']
  delete process.env['OPENAI_API_KEY']
  try {
    refused(
      () => createLLM('openai'),
      'configuration',
      /^\[openai\] No API key\. Pass apiKey or set OPENAI_API_KEY\.$/,
    )
    process.env['OPENAI_API_KEY'] = 'sk-from-the-environment'
    assert.equal(createLLM('openai').provider, 'openai')
  } finally {
    if (saved === undefined) delete process.env['OPENAI_API_KEY']
    else process.env['OPENAI_API_KEY'] = saved
  }
})

test('an unknown provider is answered with the nearest name and with all of them', () => {
  refused(
    () => createLLM('antropic'),
    'configuration',
    /Did you mean anthropic\? Providers are openai, anthropic/,
  )
  refused(() => createLLM('__proto__'), 'configuration', /Unknown provider/)
  refused(() => createLLM('constructor'), 'configuration', /Unknown provider/)
})

test('an object that is no vendor client is refused by its kind', () => {
  refused(() => createLLM(new Date()), 'configuration', /This Date is not a client of a known SDK/)
  refused(() => createLLM(undefined as unknown as string), 'configuration', /not undefined/)
})

test('provider/model is a shorthand; the model may hold slashes', () => {
  const llm = createLLM('openrouter/meta-llama/llama-3.3-70b', key)
  assert.deepEqual([llm.provider, llm.model], ['openrouter', 'meta-llama/llama-3.3-70b'])
  assert.equal(createLLM('google/gemini-2.5-flash', key).provider, 'gemini')
})

test('a call without a model says how to name one', async () => {
  await assert.rejects(createLLM('openai', key).agenerate('Hi'), /No model\. Pass model/)
})

test('servers of the user’s own need no key; hosted ones do; a base URL must be known', () => {
  for (const name of ['lmstudio', 'mlx', 'vllm', 'llamacpp', 'ollama']) {
    assert.equal(createLLM(name, { model: 'm' }).provider, name)
  }
  refused(() => createLLM('groq/llama'), 'configuration', /GROQ_API_KEY/)
  refused(() => createLLM('openai-compatible/m'), 'configuration', /No base URL/)
})

for (const [host, wanted] of [
  ['0.0.0.0', 'http://127.0.0.1:11434/api/tags'],
  [':8080', 'http://127.0.0.1:8080/api/tags'],
  [' "10.0.0.2" ', 'http://10.0.0.2:11434/api/tags'],
  ['::1', 'http://[::1]:11434/api/tags'],
  ['my-host/ollama', 'http://my-host:11434/ollama/api/tags'],
  ['https://example.com', 'https://example.com:443/api/tags'],
] as const) {
  test(`OLLAMA_HOST=${host} is ${wanted}`, async () => {
    process.env['OLLAMA_HOST'] = host
    let asked = ''
    const fetch: typeof globalThis.fetch = async (input) => {
      asked = String(input)
      return Response.json({ models: [] })
    }
    try {
      await createLLM('ollama', { fetch }).listModels()
    } finally {
      delete process.env['OLLAMA_HOST']
    }
    assert.equal(asked, wanted)
  })
}

test('a provider of one’s own is registered once, under a name that is free', () => {
  const create = () => ({ name: 'mine', stream: () => assert.fail('not called') })
  registerProvider('mine', create)
  assert.ok(listProviders().includes('mine'))
  refused(() => registerProvider('mine', create), 'configuration', /already/)
  refused(() => registerProvider('openai', create), 'configuration', /already/)
  refused(() => registerProvider('a/b', create), 'configuration', /not a provider name/)
})

test('options of a call win over the defaults, the grouped ones name by name', () => {
  const merged = mergeOptions(
    { temperature: 0, timeouts: { idleMs: 1, totalMs: 2 }, vendor: { a: 1 } },
    { temperature: 1, topP: undefined as unknown as number, timeouts: { totalMs: 3 }, vendor: { b: 2 } },
  )
  assert.deepEqual(merged, { temperature: 1, timeouts: { idleMs: 1, totalMs: 3 }, vendor: { a: 1, b: 2 } })
})

test('an option that is undefined leaves its default alone', () => {
  const nothing = undefined as never
  const merged = mergeOptions(
    mergeOptions({}, { timeouts: { idleMs: nothing }, retry: { attempts: nothing } }),
    { timeouts: { totalMs: nothing, firstChunkMs: 5 }, streamConfig: { bufferSize: nothing } },
  )
  const { timeouts, retry, stream } = settingsOf(merged)
  assert.deepEqual(timeouts, { connectMs: 10_000, firstChunkMs: 5, idleMs: 30_000, totalMs: 600_000 })
  assert.deepEqual([retry.attempts, stream.bufferSize], [3, 100])
})

test("a call's streamConfig wins over the LLM's timeouts: they are two names of the same", () => {
  const merged = mergeOptions({ timeouts: { idleMs: 5_000 } }, { streamConfig: { chunkTimeoutMs: 200 } })
  assert.equal(settingsOf(merged).timeouts.idleMs, 200)
})

test('a key function that fails or gives nothing is configuration', async () => {
  for (const apiKey of [() => '', () => Promise.reject(new Error('vault is closed'))]) {
    const llm = createLLM('openai', { model: 'm', apiKey, baseURL: 'http://127.0.0.1:9/v1' })
    await assert.rejects(llm.agenerate('Hi'), (error) => {
      assert.ok(isConvokeError(error))
      assert.equal(error.code, 'configuration')
      assert.match(error.message, /apiKey function/)
      // Nothing was sent.
      assert.equal(error.partial?.usage.totalTokens, 0)
      return true
    })
  }
})

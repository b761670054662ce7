/** `llm.countTokens(prompt, { exact: true })`: what the vendors' own endpoints are asked, through their SDKs. */
import assert from 'node:assert/strict'
import { GoogleGenAI } from '@google/genai'
import { createLLM } from 'convoke'
import type { LLMOptions, Prompt, ToolDefinition } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { RequestRecord, Simulator } from 'convoke/simulator'
import { afterAll, beforeAll, beforeEach, test } from 'vitest'

type Fields = Record<string, unknown>

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator()
})
beforeEach(() => simulator.reset())
afterAll(() => simulator.close())

const tools: ToolDefinition[] = [{ name: 'weather', parameters: { type: 'object' } }]
const prompt: Prompt = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Is it warm in Oslo?' },
]
/** The simulator counts four characters for a token, of the texts and the names of the tools: 9 + 19 + 7. */
const counted = { tokens: 9, method: 'vendor' }
/** What only a request that generates may hold. */
const generating: LLMOptions = { maxTokens: 100, temperature: 0.5, stop: ['.'] }
const llm = (name: string, options: LLMOptions = {}) =>
  createLLM(name, {
    model: 'some-model',
    apiKey: 'test-key-123',
    baseURL: simulator.baseURL(name),
    ...options,
  })
const vendors = ['openai', 'anthropic', 'gemini', 'cohere']

function only(): RequestRecord & { body: Fields } {
  assert.equal(simulator.requests.length, 1)
  const record = simulator.requests[0] as RequestRecord & { body: Fields }
  assert.deepEqual([record.api, record.outcome], ['count-tokens', 'complete'])
  return record
}

test('OpenAI is asked at /responses/input_tokens, on either API', async () => {
  for (const api of ['chat', 'responses'] as const) {
    simulator.reset()
    const openai = llm('openai', { ...generating, api })
    assert.deepEqual(await openai.countTokens(prompt, { tools, exact: true }), counted)
    const { path, headers, body } = only()
    assert.equal(path, '/v1/responses/input_tokens')
    assert.equal(headers['authorization'], 'Bearer test-key-123')
    assert.deepEqual(Object.keys(body).sort(), ['input', 'instructions', 'model', 'tools'])
    assert.equal(body['instructions'], 'Be brief.')
  }
})

test('Anthropic is asked at /messages/count_tokens, without what only generating takes', async () => {
  const anthropic = llm('anthropic', generating)
  assert.deepEqual(await anthropic.countTokens(prompt, { tools, exact: true }), counted)
  const { path, headers, body } = only()
  assert.equal(path, '/v1/messages/count_tokens')
  assert.ok(`${headers['x-api-key'] ?? ''}${headers['authorization'] ?? ''}`.includes('test-key-123'))
  assert.deepEqual(Object.keys(body).sort(), ['messages', 'model', 'system', 'tools'])
})

test('Gemini is asked at :countTokens, with the system prompt and the tools, by either SDK', async () => {
  const client = new GoogleGenAI({ apiKey: 'test-key-123', httpOptions: { baseUrl: simulator.url } })
  const options = { ...generating, model: 'gemini-2.5-flash' }
  for (const gemini of [llm('gemini', options), createLLM(client, options)]) {
    simulator.reset()
    assert.deepEqual(await gemini.countTokens(prompt, { tools, exact: true }), counted)
    const { path, headers, body } = only()
    assert.match(path, /^\/v1(beta)?\/models\/gemini-2\.5-flash:countTokens$/)
    assert.equal(headers['x-goog-api-key'], 'test-key-123')
    const whole = body['generateContentRequest'] as Fields
    assert.equal(whole['model'], 'models/gemini-2.5-flash')
    assert.deepEqual(whole['systemInstruction'], { parts: [{ text: 'Be brief.' }] })
    assert.equal((whole['tools'] as unknown[]).length, 1)
    assert.equal((whole['contents'] as unknown[]).length, 1)
  }
})

test('Vertex AI takes the parts of the request side by side', async () => {
  const httpOptions = { baseUrl: simulator.url }
  const client = new GoogleGenAI({ vertexai: true, apiKey: 'test-key-123', httpOptions })
  const gemini = createLLM(client, { model: 'gemini-2.5-flash' })
  assert.deepEqual(await gemini.countTokens(prompt, { tools, exact: true }), counted)
  const { path, model, body } = only()
  assert.match(path, /\/publishers\/google\/models\/gemini-2\.5-flash:countTokens$/)
  assert.equal(model, 'gemini-2.5-flash')
  const names = ['contents', 'systemInstruction', 'tools']
  assert.deepEqual(
    names.filter((name) => name in body),
    names,
  )
})

test('Cohere tokenizes the text, in pieces where it is too long for one request', async () => {
  const cohere = llm('cohere')
  assert.deepEqual(await cohere.countTokens(prompt, { exact: true }), { tokens: 8, method: 'vendor' })
  assert.equal(only().path, '/v1/tokenize')
  assert.equal(only().prompt, 'Be brief.\nIs it warm in Oslo?')
  // No place to cut in the second, and a cut at every 65 536 characters would part a pair in two.
  for (const long of ['word '.repeat(30_000), `a${'😀'.repeat(60_000)}`]) {
    simulator.reset()
    const { tokens } = await cohere.countTokens(long, { exact: true })
    const sent = simulator.requests.map((request) => request.prompt)
    assert.ok(sent.length > 1 && sent.every((text) => text.length <= 65_536 && text.isWellFormed()))
    assert.equal(
      sent.reduce((sum, text) => sum + text.length, 0),
      long.length,
    )
    const expected = sent.reduce((sum, text) => sum + Math.ceil([...text].length / 4), 0)
    assert.equal(tokens, expected)
  }
  const picture = { type: 'image', image: 'QUJD' } as const
  await assert.rejects(cohere.countTokens({ role: 'user', content: [picture] }, { exact: true }), {
    code: 'invalid_request',
  })
})

test('a long text may take Cohere longer than idleMs, as long as no request of it does', async () => {
  const latencyMs = 400
  const idleMs = 1_000
  let running = 0
  let most = 0
  await using slow = await startSimulator({
    fault: () => {
      most = Math.max(most, ++running)
      setTimeout(() => running--, latencyMs).unref()
      return { latencyMs }
    },
  })
  const cohere = llm('cohere', { baseURL: slow.url, timeouts: { idleMs } })
  const long = 'word '.repeat(200_000)
  const { tokens } = await cohere.countTokens(long, { exact: true })
  assert.ok(tokens >= long.length / 4)
  assert.ok(most > 1 && most <= 4, `${most} at once`)
  const leastMs = (slow.requests.length / most) * latencyMs
  assert.ok(leastMs > idleMs, `${slow.requests.length} requests are over before idleMs`)
})

test('a piece of a long text that fails ends the count, and nothing more is sent', async () => {
  const cohere = llm('cohere', { timeouts: { idleMs: 3_000 } })
  const long = 'word '.repeat(200_000)
  simulator.failNext({}, 2)
  simulator.failNext({ status: 429 })
  await assert.rejects(cohere.countTokens(long, { exact: true }), { code: 'rate_limited' })
  assert.ok(simulator.requests.length <= 7, String(simulator.requests.length))
  simulator.reset()
  simulator.failNext({}, 2)
  simulator.failNext({ latencyMs: 60_000 })
  await assert.rejects(cohere.countTokens(long, { exact: true }), { code: 'timeout', provider: 'cohere' })
})

test('where there is no endpoint, exact takes the vocabulary, or refuses', async () => {
  const ollama = createLLM('ollama/llama3.2', { baseURL: simulator.url })
  await assert.rejects(ollama.countTokens('Hello', { exact: true }), {
    code: 'invalid_request',
    provider: 'ollama',
    message: /vocabulary of llama3\.2 is not public\. Leave out exact for an estimate\.$/,
  })
  assert.equal((await ollama.countTokens('Hello')).method, 'estimate')
  const compatible = llm('openai-compatible', { model: 'openai/gpt-4o', name: 'gateway' })
  assert.equal((await compatible.countTokens('Hello', { exact: true })).method, 'exact')
  assert.equal(simulator.requests.length, 0)
})

test('a count fails by the same codes as any request', async () => {
  for (const provider of vendors) {
    const model = llm(provider)
    const count = () => model.countTokens('Hello', { exact: true })
    simulator.failNext({ status: 401 })
    await assert.rejects(count(), { code: 'authentication', provider, status: 401 })
    simulator.failNext({ status: 429, retryAfter: 7 })
    await assert.rejects(count(), { code: 'rate_limited', provider, retryAfterMs: 7_000 })
    simulator.failNext({ status: 200, body: '{"what":"else"}' })
    await assert.rejects(count(), { code: 'malformed_response', provider })
    simulator.failNext({ cutAfter: 0.5 })
    await assert.rejects(count(), { code: 'stream_truncated', provider })
    const impatient = llm(provider, { timeouts: { idleMs: 100 } })
    for (const fault of [{ latencyMs: 60_000 }, { stallAfter: 0.5 }]) {
      simulator.failNext(fault)
      const late = { code: 'timeout', provider }
      await assert.rejects(impatient.countTokens('Hello', { exact: true }), late)
    }
    simulator.failNext({ latencyMs: 60_000 })
    const signal = AbortSignal.timeout(50)
    const cancelled = { code: 'cancelled', provider }
    await assert.rejects(model.countTokens('Hello', { exact: true, signal }), cancelled)
  }
})

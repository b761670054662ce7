/** `llm.countTokens(prompt, { exact: true })`: what the vendors' own endpoints are asked, through their SDKs. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { GoogleGenAI } from '@google/genai'
import { createLLM } from 'convoke'
import type { LLMOptions, Prompt, ToolDefinition } from 'convoke'

type Fields = Record<string, unknown>

const received: { url: string; headers: http.IncomingHttpHeaders; body: Fields }[] = []
let answer: { status?: number; body: unknown } | 'none' = { body: {} }
let origin = ''
const server = http.createServer((request, response) => {
  let text = ''
  request.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  request.on('end', () => {
    received.push({ url: request.url ?? '', headers: request.headers, body: JSON.parse(text) as Fields })
    if (answer === 'none') return
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(answer.body))
  })
})

before(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  received.length = 0
})
after(() => {
  server.closeAllConnections()
  server.close()
})

const tools: ToolDefinition[] = [{ name: 'weather', parameters: { type: 'object' } }]
const prompt: Prompt = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Is it warm in Oslo?' },
]
/** What only a request that generates may hold. */
const generating: LLMOptions = { maxTokens: 100, temperature: 0.5, stop: ['.'] }
const llm = (name: string, path: string, options: LLMOptions = {}) =>
  createLLM(name, { model: 'some-model', apiKey: 'test-key-123', baseURL: origin + path, ...options })

function only(): (typeof received)[number] {
  assert.equal(received.length, 1)
  return received[0] as (typeof received)[number]
}

test('OpenAI is asked at /responses/input_tokens, on either API', async () => {
  for (const api of ['chat', 'responses'] as const) {
    received.length = 0
    answer = { body: { object: 'response.input_tokens', input_tokens: 42 } }
    const count = await llm('openai', '/v1', { ...generating, api }).countTokens(prompt, {
      tools,
      exact: true,
    })
    assert.deepEqual(count, { tokens: 42, method: 'vendor' })
    const { url, headers, body } = only()
    assert.equal(url, '/v1/responses/input_tokens')
    assert.equal(headers.authorization, 'Bearer test-key-123')
    assert.deepEqual(Object.keys(body).sort(), ['input', 'instructions', 'model', 'tools'])
    assert.equal(body['instructions'], 'Be brief.')
  }
})

test('Anthropic is asked at /messages/count_tokens, without what only generating takes', async () => {
  answer = { body: { input_tokens: 43 } }
  const count = await llm('anthropic', '', generating).countTokens(prompt, { tools, exact: true })
  assert.deepEqual(count, { tokens: 43, method: 'vendor' })
  const { url, headers, body } = only()
  assert.match(url, /^\/v1\/messages\/count_tokens/)
  assert.ok(`${headers['x-api-key'] ?? ''}${headers.authorization ?? ''}`.includes('test-key-123'))
  assert.deepEqual(Object.keys(body).sort(), ['messages', 'model', 'system', 'tools'])
})

test('Gemini is asked at :countTokens, with the system prompt and the tools, by either SDK', async () => {
  const client = new GoogleGenAI({ apiKey: 'test-key-123', httpOptions: { baseUrl: origin } })
  const model = 'gemini-2.5-flash'
  for (const gemini of [
    llm('gemini', '', { ...generating, model }),
    createLLM(client, { ...generating, model }),
  ]) {
    received.length = 0
    answer = { body: { totalTokens: 44 } }
    assert.deepEqual(await gemini.countTokens(prompt, { tools, exact: true }), {
      tokens: 44,
      method: 'vendor',
    })
    const { url, headers, body } = only()
    assert.match(url, /^\/v1(beta)?\/models\/gemini-2\.5-flash:countTokens/)
    assert.equal(headers['x-goog-api-key'], 'test-key-123')
    const whole = body['generateContentRequest'] as Fields
    assert.equal(whole['model'], 'models/gemini-2.5-flash')
    assert.deepEqual(whole['systemInstruction'], { parts: [{ text: 'Be brief.' }] })
    assert.equal((whole['tools'] as unknown[]).length, 1)
    assert.equal((whole['contents'] as unknown[]).length, 1)
  }
})

test('Vertex AI takes the parts of the request side by side', async () => {
  const client = new GoogleGenAI({ vertexai: true, apiKey: 'test-key-123', httpOptions: { baseUrl: origin } })
  answer = { body: { totalTokens: 45 } }
  const gemini = createLLM(client, { model: 'gemini-2.5-flash' })
  assert.equal((await gemini.countTokens(prompt, { tools, exact: true })).tokens, 45)
  const { url, body } = only()
  assert.match(url, /gemini-2\.5-flash:countTokens/)
  assert.deepEqual(
    ['contents', 'systemInstruction', 'tools'].filter((name) => name in body),
    ['contents', 'systemInstruction', 'tools'],
  )
})

test('Cohere tokenizes the text, in pieces where it is too long for one request', async () => {
  answer = { body: { tokens: [1, 2, 3], token_strings: [] } }
  const cohere = llm('cohere', '')
  assert.deepEqual(await cohere.countTokens(prompt, { exact: true }), { tokens: 3, method: 'vendor' })
  assert.equal(only().body['text'], 'Be brief.\nIs it warm in Oslo?')
  assert.match(only().url, /\/tokenize$/)
  received.length = 0
  const long = 'word '.repeat(30_000)
  assert.equal((await cohere.countTokens(long, { exact: true })).tokens, 9)
  const sent = received.map(({ body }) => body['text'] as string)
  assert.equal(sent.join(''), long)
  assert.ok(sent.every((text) => text.length <= 65_536))
  const picture = { type: 'image', image: 'QUJD' } as const
  await assert.rejects(cohere.countTokens({ role: 'user', content: [picture] }, { exact: true }), {
    code: 'invalid_request',
  })
})

test('where there is no endpoint, exact takes the vocabulary, or refuses', async () => {
  const ollama = createLLM('ollama/llama3.2', { baseURL: origin })
  await assert.rejects(ollama.countTokens('Hello', { exact: true }), {
    code: 'invalid_request',
    provider: 'ollama',
    message: /vocabulary of llama3\.2 is not public\. Leave out exact for an estimate\.$/,
  })
  assert.equal((await ollama.countTokens('Hello')).method, 'estimate')
  const compatible = llm('openai-compatible', '/v1', { model: 'openai/gpt-4o', name: 'gateway' })
  assert.equal((await compatible.countTokens('Hello', { exact: true })).method, 'exact')
  assert.equal(received.length, 0)
})

test('a count fails by the same codes as any request', async () => {
  const cases: [string, string][] = [
    ['openai', '/v1'],
    ['anthropic', ''],
    ['gemini', ''],
    ['cohere', ''],
  ]
  for (const [name, path] of cases) {
    const model = llm(name, path)
    const count = () => model.countTokens('Hello', { exact: true })
    answer = { status: 401, body: { error: { message: 'no' }, message: 'no' } }
    await assert.rejects(count(), { code: 'authentication', provider: name, status: 401 })
    answer = { status: 429, body: { error: { message: 'slow down' }, message: 'slow down' } }
    await assert.rejects(count(), { code: 'rate_limited', provider: name })
    answer = { body: { what: 'else' } }
    await assert.rejects(count(), { code: 'malformed_response', provider: name })
    answer = 'none'
    const impatient = llm(name, path, { timeouts: { idleMs: 100 } })
    const late = { code: 'timeout', provider: name }
    await assert.rejects(impatient.countTokens('Hello', { exact: true }), late)
    const signal = AbortSignal.timeout(50)
    const cancelled = { code: 'cancelled', provider: name }
    await assert.rejects(model.countTokens('Hello', { exact: true, signal }), cancelled)
  }
})

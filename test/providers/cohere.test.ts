/** Cohere's adapter, over the wire: what it sends, and what it makes of what comes back. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { CohereClient, CohereClientV2 } from 'cohere-ai'
import { afterAll, beforeAll, beforeEach, test } from 'vitest'
import { create } from '../../src/providers/cohere/provider.ts'
import type { ChatRequest, Provider, ProviderChunk, ProviderConfig } from '../../src/provider.ts'
import type { Warning } from '../../src/types.ts'

type Fields = Record<string, unknown>

const received: { url: string; headers: http.IncomingHttpHeaders; body: Fields }[] = []
/** Answers in turn; a list is a stream of server-sent events. */
const answers: (Fields | unknown[])[] = []
const warnings: Warning[] = []
let baseURL = ''
const server = http.createServer((request, response) => {
  let text = ''
  request.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  request.on('end', () => {
    const body = (text ? JSON.parse(text) : {}) as Fields
    received.push({ url: request.url ?? '', headers: request.headers, body })
    const answer = answers.shift() ?? { message: { content: 'ok' }, finish_reason: 'COMPLETE' }
    const events = () => (answer as unknown[]).map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')
    response.end(Array.isArray(answer) ? events() : JSON.stringify(answer))
  })
})

beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/proxy`
})
beforeEach(() => {
  for (const list of [received, answers, warnings]) list.length = 0
})
afterAll(() => server.close())

const signal = new AbortController().signal
const event = (type: string, message: Fields = {}, index = 0) => ({ type, index, delta: { message } })
const start = { id: 'r1', ...event('message-start', { role: 'assistant' }) }
const text = (value: string) => event('content-delta', { content: { text: value } })
const end = (delta: Fields = { finish_reason: 'COMPLETE' }) => ({ type: 'message-end', delta })

function provider(more: Partial<ProviderConfig> = {}): Promise<Provider> | Provider {
  const apiKey = () => Promise.resolve('test-key-123456')
  return create({ name: 'cohere', apiKey, baseURL, maxLineBytes: 1e6, maxResponseBytes: 1e6, ...more })
}

function chat(more: Partial<ChatRequest> = {}): ChatRequest {
  const messages: ChatRequest['messages'] = [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }]
  const limits = { connectMs: 5_000, idleMs: 5_000 }
  return { model: 'command', messages, ...limits, warn: (warning) => warnings.push(warning), ...more }
}

async function send(more: Partial<ChatRequest> = {}, config: Partial<ProviderConfig> = {}): Promise<Fields> {
  await (await provider(config)).generate?.(chat(more), signal)
  return received.at(-1)?.body ?? {}
}

async function stream(...events: unknown[]): Promise<ProviderChunk[]> {
  answers.push(events)
  const chunks: ProviderChunk[] = []
  for await (const given of (await provider()).stream(chat(), signal)) chunks.push(...[given].flat())
  return chunks
}

function warned(): string {
  return warnings.map((warning) => warning.subject).join(' ')
}

function contentOf(chunks: readonly ProviderChunk[]): string {
  return chunks.map((chunk) => chunk.content).join('')
}

test('options go under the names of the wire, and a vendor field wins in either spelling', async () => {
  const options = { temperature: 0.5, maxTokens: 9, topP: 0.8, topK: 3, stop: ['x'], seed: 1 }
  const vendor = { max_tokens: 7, stopSequences: ['y'], safety_mode: 'OFF', documents: ['d'], stream: true }
  const { messages, ...body } = await send({
    ...options,
    reasoning: { maxTokens: 5 },
    system: 'Be brief.',
    vendor,
  })
  assert.deepEqual(messages, [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'hi' },
  ])
  assert.deepEqual(body, {
    ...{ model: 'command', stream: false, temperature: 0.5, max_tokens: 7, p: 0.8, k: 3, seed: 1 },
    ...{ stop_sequences: ['y'], thinking: { type: 'enabled', token_budget: 5 } },
    ...{ safety_mode: 'OFF', documents: ['d'] },
  })
  assert.equal(received[0]?.url, '/proxy/v2/chat')
  assert.equal(received[0]?.headers['authorization'], 'Bearer test-key-123456')
})

test('a conversation with an image, thoughts, tool calls and their results goes back as it came', async () => {
  const picture = { type: 'image', mediaType: 'image/png', base64: 'AAAA' } as const
  const call = { type: 'tool-call', id: 'c1', name: 'look', arguments: { at: 1 } } as const
  const result = { type: 'tool-result', toolCallId: 'c1', name: 'look', result: { seen: true } } as const
  const body = await send({
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'see' }, picture] },
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', text: 'hmm', provider: 'cohere' },
          { type: 'reasoning', text: 'foreign', provider: 'openai' },
          { type: 'text', text: 'I look.' },
          call,
          { ...call, id: 'c2' },
        ],
      },
      { role: 'tool', content: [result, { ...result, toolCallId: 'c2', result: 'dark' }] },
    ],
    tools: [{ name: 'look', parameters: { type: 'object' }, strict: true }],
    toolChoice: 'required',
  })
  const [user, assistant, ...results] = body['messages'] as Fields[]
  assert.deepEqual(user?.['content'], [
    { type: 'text', text: 'see' },
    { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
  ])
  // Cohere refuses text beside tool calls; it is their plan.
  assert.deepEqual(assistant, {
    role: 'assistant',
    tool_plan: 'I look.',
    content: [{ type: 'thinking', thinking: 'hmm' }],
    tool_calls: ['c1', 'c2'].map((id) => ({
      ...{ id, type: 'function', function: { name: 'look', arguments: '{"at":1}' } },
    })),
  })
  assert.deepEqual(results, [
    { role: 'tool', tool_call_id: 'c1', content: '{"seen":true}' },
    { role: 'tool', tool_call_id: 'c2', content: 'dark' },
  ])
  assert.deepEqual([body['strict_tools'], body['tool_choice']], [true, 'REQUIRED'])
  assert.equal(warned(), 'reasoning')
})

test('what Cohere has no place for is refused where it matters and told where it does not', async () => {
  const tools = [{ name: 'a', strict: true }, { name: 'b' }]
  const file = { type: 'file', mediaType: 'application/pdf', base64: 'AAAA' } as const
  await assert.rejects(send({ tools, toolChoice: { name: 'a' } }), { code: 'invalid_request' })
  await assert.rejects(send({ messages: [{ role: 'user', content: [file] }] }), { code: 'invalid_request' })
  assert.equal(received.length, 0)
  warnings.length = 0
  const body = await send({ tools, toolChoice: 'none', metadata: { a: 'b' }, reasoning: 'high' })
  assert.equal(warned(), 'metadata tools reasoning')
  const { tool_choice, thinking, strict_tools } = body
  assert.deepEqual(
    { tool_choice, thinking, strict_tools },
    { tool_choice: 'NONE', thinking: { type: 'enabled' }, strict_tools: undefined },
  )
})

test('the text [DONE] does not end a stream', async () => {
  const billed_units = { input_tokens: 1, output_tokens: 1 }
  const usage = { billed_units, tokens: { input_tokens: 9 }, cached_tokens: 4 }
  const chunks = await stream(start, text('Say [DONE]'), text('[DONE]'), text(' now'), end({ usage }))
  assert.equal(contentOf(chunks), 'Say [DONE][DONE] now')
  const finish = chunks.at(-1) as Extract<ProviderChunk, { type: 'finish' }>
  assert.deepEqual(finish.usage, { inputTokens: 9, outputTokens: 1, cachedInputTokens: 4 })
})

test('thoughts, a plan and two tool calls come apart from the text', async () => {
  const call = (id: string, index: number) =>
    event(
      'tool-call-start',
      { tool_calls: { id, type: 'function', function: { name: 'look', arguments: '' } } },
      index,
    )
  const piece = (part: string) => event('tool-call-delta', { tool_calls: { function: { arguments: part } } })
  const chunks = await stream(
    ...[start, event('content-start', { content: { type: 'thinking', thinking: 'Hm' } })],
    ...[event('content-end'), event('tool-plan-delta', { tool_plan: 'I will look.' })],
    ...[call('c1', 0), piece('{"at":'), piece('1}'), event('tool-call-end')],
    ...[call('c2', 1), event('tool-call-end', {}, 1), end({ finish_reason: 'TOOL_CALL' })],
  )
  assert.deepEqual(
    chunks.flatMap((chunk) => (chunk.type === 'tool-call' ? [chunk.toolCall] : [])),
    [
      { id: 'c1', name: 'look', arguments: { at: 1 } },
      { id: 'c2', name: 'look', arguments: {} },
    ],
  )
  assert.equal(chunks.map((chunk) => (chunk.type === 'reasoning' ? chunk.reasoning : '')).join(''), 'Hm')
  assert.equal(contentOf(chunks), '')
  assert.equal((chunks.at(-1) as { finishReason?: string }).finishReason, 'tool-calls')
})

test('a stream without message-end is truncated, and one that ends with an error throws it', async () => {
  await assert.rejects(stream(start, text('Half a')), { code: 'stream_truncated' })
  const failures = { ERROR: 'server_error', TIMEOUT: 'server_error', ERROR_TOXIC: 'content_filtered' }
  for (const [finish_reason, code] of Object.entries(failures)) {
    await assert.rejects(stream(start, text('x'), end({ finish_reason, error: 'gone' })), {
      code,
      message: /gone/,
    })
  }
  await assert.rejects(stream(start, { message: 'internal' }), { code: 'server_error', message: /internal/ })
})

test('models come page by page', async () => {
  answers.push(
    { models: [{ name: 'a', context_length: 128_000 }], next_page_token: 'two' },
    { models: [{ name: 'b' }] },
  )
  const models = await (await provider()).listModels?.(signal)
  assert.deepEqual(
    models?.map(({ id, contextWindow }) => [id, contextWindow]),
    [
      ['a', 128_000],
      ['b', undefined],
    ],
  )
  assert.match(received[1]?.url ?? '', /^\/proxy\/v1\/models\?.*page_token=two/)
})

test("a user's own client keeps its key, address, headers and fetch", async () => {
  let fetched = 0
  const fetch: typeof globalThis.fetch = (input, init) => {
    fetched++
    return globalThis.fetch(input, init)
  }
  const options = { token: 'their-key-654321', baseUrl: baseURL, headers: { 'x-team': 'a' }, fetch }
  for (const client of [new CohereClientV2(options), new CohereClient(options)]) {
    answers.push({ id: 'r1', message: 'their-key-654321 is unknown' })
    const call = send({}, { client, apiKey: () => Promise.resolve(undefined), baseURL: undefined as never })
    await assert.rejects(call, { code: 'server_error', message: /\[redacted\] is unknown/ })
    assert.equal(received.at(-1)?.headers['authorization'], 'Bearer their-key-654321')
    assert.equal(received.at(-1)?.headers['x-team'], 'a')
  }
  assert.equal(fetched, 2)
})

test('a refused connection leaves nothing that keeps the process alive, and nothing on its output', async () => {
  const script = `
    const { create } = await import(${JSON.stringify(import.meta.resolve('../../src/providers/cohere/provider.ts'))})
    const limits = { maxLineBytes: 1e6, maxResponseBytes: 1e6 }
    const provider = await create({ name: 'cohere', apiKey: async () => 'k', baseURL: 'http://127.0.0.1:1', ...limits })
    const messages = [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }]
    const request = { model: 'm', messages, connectMs: 5000, idleMs: 5000, warn() {} }
    const signal = new AbortController().signal
    const codes = []
    await provider.generate(request, signal).catch((error) => codes.push(error.code))
    await Array.fromAsync(provider.stream(request, signal)).catch((error) => codes.push(error.code))
    process.exitCode = codes.join() === 'connection,connection' ? 7 : 1`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000 })
  let output = ''
  child.stdout.on('data', (piece) => (output += String(piece)))
  const [code] = (await once(child, 'close')) as [number | null]
  assert.deepEqual([code, output], [7, ''])
})

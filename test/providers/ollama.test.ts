/** Ollama's adapter, over the wire: what it sends, what it makes of the lines, and the shelf of models. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Ollama } from 'ollama'
import { afterAll, beforeAll, beforeEach, test } from 'vitest'
import { create } from '../../src/providers/ollama/provider.ts'
import type { ChatRequest, Provider, ProviderChunk, ProviderConfig } from '../../src/provider.ts'

type Fields = Record<string, unknown>

const received: { url: string; method: string; headers: http.IncomingHttpHeaders; body: Fields }[] = []
/** Answers in turn: lines, each an object or a text as it is. `open` leaves the response unfinished. */
const answers: { status?: number; lines: unknown[]; open?: boolean }[] = []
const warnings: string[] = []
let baseURL = ''
let closed: Promise<unknown> = Promise.resolve()
const server = http.createServer((request, response) => {
  let text = ''
  request.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  request.on('end', () => {
    const { url = '', method = '', headers } = request
    received.push({ url, method, headers, body: (text ? JSON.parse(text) : {}) as Fields })
    const { status = 200, lines, open } = answers.shift() ?? { lines: [line('ok', { done: true })] }
    closed = once(response, 'close')
    response.writeHead(status, { 'content-type': status === 200 ? 'application/x-ndjson' : 'text/plain' })
    for (const each of lines) response.write(typeof each === 'string' ? each : `${JSON.stringify(each)}\n`)
    if (!open) response.end()
  })
})

beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  for (const list of [received, answers, warnings]) list.length = 0
})
afterAll(() => server.close())

const signal = new AbortController().signal

function line(content: string, more: Fields = {}): Fields {
  return { model: 'llama3.2', message: { role: 'assistant', content }, done: false, ...more }
}

function provider(more: Partial<ProviderConfig> = {}): Promise<Provider> | Provider {
  const apiKey = () => Promise.resolve(undefined)
  return create({ name: 'ollama', apiKey, baseURL, maxLineBytes: 1e6, maxResponseBytes: 1e6, ...more })
}

function chat(more: Partial<ChatRequest> = {}): ChatRequest {
  const messages: ChatRequest['messages'] = [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }]
  const warn: ChatRequest['warn'] = ({ subject = '' }) => warnings.push(subject)
  return { model: 'llama3.2', messages, connectMs: 5_000, idleMs: 5_000, warn, ...more }
}

async function send(more: Partial<ChatRequest> = {}, config: Partial<ProviderConfig> = {}): Promise<Fields> {
  await (await provider(config)).generate?.(chat(more), signal)
  return received.at(-1)?.body ?? {}
}

async function stream(lines: unknown[], more: Partial<ChatRequest> = {}): Promise<ProviderChunk[]> {
  answers.push({ lines })
  return (await gather((await provider()).stream(chat(more), signal))).flat()
}

async function gather<T>(items: AsyncIterable<T> | undefined): Promise<T[]> {
  const all: T[] = []
  for await (const item of items ?? []) all.push(item)
  return all
}

test('options go under the names of the wire, and those of vendor are laid over them key by key', async () => {
  const options = { temperature: 0.5, maxTokens: 9, topP: 0.8, topK: 3, stop: ['x'], seed: 1 }
  const vendor = { options: { num_ctx: 4096, seed: 2 }, keep_alive: 0, stream: true }
  const body = await send({ ...options, reasoning: 'max', metadata: { a: 'b' }, system: 'Be brief.', vendor })
  assert.deepEqual(body, {
    model: 'llama3.2',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'hi' },
    ],
    think: 'high',
    options: { temperature: 0.5, num_predict: 9, top_p: 0.8, top_k: 3, stop: ['x'], seed: 2, num_ctx: 4096 },
    keep_alive: 0,
    stream: false,
  })
  assert.deepEqual(warnings, ['metadata', 'reasoning'])
})

test('a conversation with an image, thoughts, tool calls and their results goes back as it came', async () => {
  // Base64 that is also the path of a file: the SDK would read the file.
  const picture = { type: 'image', mediaType: 'image/png', base64: '/etc/passwd+' } as const
  const call = { type: 'tool-call', id: 'c1', name: 'look', arguments: { at: 1 } } as const
  const result = { type: 'tool-result', toolCallId: 'c1', name: 'look', result: { seen: true } } as const
  const body = await send({
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'see' }, picture] },
      { role: 'assistant', content: [{ type: 'reasoning', text: 'hmm', provider: 'ollama' }, call] },
      { role: 'tool', content: [result, { ...result, toolCallId: 'c2', result: 'dark' }] },
    ],
    tools: [{ name: 'look' }],
  })
  const tool_calls = [{ id: 'c1', function: { name: 'look', arguments: { at: 1 } } }]
  assert.deepEqual(body['messages'], [
    { role: 'user', content: 'see', images: ['/etc/passwd+'] },
    { role: 'assistant', content: '', thinking: 'hmm', tool_calls },
    { role: 'tool', content: '{"seen":true}', tool_name: 'look', tool_call_id: 'c1' },
    { role: 'tool', content: 'dark', tool_name: 'look', tool_call_id: 'c2' },
  ])
})

test('what Ollama has no place for is refused, and toolChoice none leaves the tools out', async () => {
  const tools = [{ name: 'a' }]
  const image = { type: 'image', mediaType: 'image/png', url: 'https://example.com/a.png' } as const
  const file = { type: 'file', mediaType: 'application/pdf', base64: 'AAAA' } as const
  for (const content of [image, file]) {
    await assert.rejects(send({ messages: [{ role: 'user', content: [content] }] }), {
      code: 'invalid_request',
    })
  }
  for (const toolChoice of ['required', { name: 'a' }] as const) {
    await assert.rejects(send({ tools, toolChoice }), { code: 'invalid_request' })
  }
  assert.equal(received.length, 0)
  assert.equal('tools' in (await send({ tools, toolChoice: 'none' })), false)
})

test('thoughts, text and two calls of one tool come apart, and usage comes with the end', async () => {
  const message = {
    content: '',
    tool_calls: [1, 2].map((at) => ({ function: { name: 'look', arguments: { at } } })),
  }
  const end = { done: true, done_reason: 'stop', prompt_eval_count: 5, eval_count: 7 }
  const thought = { message: { role: 'assistant', content: '', thinking: 'Hm' } }
  const chunks = await stream([line('', thought), line('[DONE]'), line('', { message }), line('', end)])
  const calls = chunks.flatMap((chunk) => (chunk.type === 'tool-call' ? [chunk.toolCall] : []))
  assert.deepEqual(
    calls.map((call) => [call.name, call.arguments]),
    [
      ['look', { at: 1 }],
      ['look', { at: 2 }],
    ],
  )
  assert.notEqual(calls[0]?.id, calls[1]?.id)
  assert.equal(chunks.map((chunk) => chunk.content).join(''), '[DONE]')
  assert.equal(chunks.map((chunk) => (chunk.type === 'reasoning' ? chunk.reasoning : '')).join(''), 'Hm')
  const finish = chunks.at(-1) as Extract<ProviderChunk, { type: 'finish' }>
  assert.deepEqual([finish.finishReason, finish.usage], ['tool-calls', { inputTokens: 5, outputTokens: 7 }])
})

test('a stream or a reply that is not done is truncated, and an error line throws', async () => {
  await assert.rejects(stream([line('Half a')]), { code: 'stream_truncated' })
  answers.push({ lines: [line('Half a')] })
  await assert.rejects(send(), { code: 'stream_truncated' })
  await assert.rejects(stream([line('a'), { error: 'out of memory' }]), {
    code: 'server_error',
    message: /out of/,
  })
})

test('a vendor field that only /api/generate has goes there', async () => {
  const vendor = { suffix: '}', raw: true }
  const chunks = await stream(
    [
      { response: 'x', done: false },
      { response: '', done: true },
    ],
    { system: 's', vendor },
  )
  const body = {
    model: 'llama3.2',
    prompt: 'hi',
    system: 's',
    suffix: '}',
    raw: true,
    options: {},
    stream: true,
  }
  assert.deepEqual([received[0]?.url, received[0]?.body], ['/api/generate', body])
  assert.equal(chunks.map((chunk) => chunk.content).join(''), 'x')
  const messages = [...chat().messages, ...chat().messages]
  await assert.rejects(send({ vendor, messages }), { code: 'invalid_request' })
})

test('a download tells its progress, and one that ends without success is truncated', async () => {
  const layer = { status: 'pulling', digest: 'sha256:1', total: 10, completed: 4 }
  const ollama = await provider()
  answers.push(
    { lines: [layer, { status: 'success' }] },
    { lines: [layer] },
    { lines: [{ error: 'no space' }] },
  )
  assert.deepEqual(await gather(ollama.pullModel?.('m', signal)), [
    { status: 'pulling', digest: 'sha256:1', totalBytes: 10, completedBytes: 4 },
    { status: 'success' },
  ])
  await assert.rejects(gather(ollama.pullModel?.('m', signal)), { code: 'stream_truncated' })
  await assert.rejects(gather(ollama.pullModel?.('m', signal)), { code: 'server_error', message: /no space/ })
})

test('leaving the loop over a download closes its socket', async () => {
  answers.push({ lines: [{ status: 'pulling' }], open: true })
  for await (const { status } of (await provider()).pullModel?.('m', signal) ?? []) {
    assert.equal(status, 'pulling')
    break
  }
  await closed
})

test('models are listed, shown and deleted', async () => {
  const ollama = await provider()
  const modified_at = '2025-10-01T00:00:00Z'
  const model_info = {
    'clip.context_length': 77,
    'general.architecture': 'llama',
    'llama.context_length': 8192,
  }
  answers.push({ lines: [{ models: [{ name: 'a:1', model: 'a:1', size: 5, modified_at }] }] })
  answers.push(
    { lines: [{ model_info }] },
    { lines: [] },
    { status: 404, lines: [{ error: 'no such model' }] },
  )
  const [listed] = (await ollama.listModels?.(signal)) ?? []
  assert.deepEqual([listed?.id, listed?.sizeBytes, listed?.createdAt], ['a:1', 5, new Date(modified_at)])
  assert.equal((await ollama.showModel?.('a:1', signal))?.contextWindow, 8192)
  await ollama.deleteModel?.('a:1', signal)
  assert.deepEqual([received[2]?.method, received[2]?.body], ['DELETE', { name: 'a:1' }])
  await assert.rejects(async () => ollama.deleteModel?.('b', signal), { code: 'model_not_found', model: 'b' })
})

test("a key is sent, and a user's own client keeps its host, headers and fetch", async () => {
  await send({}, { apiKey: () => Promise.resolve('test-key-123456') })
  assert.equal(received[0]?.headers['authorization'], 'Bearer test-key-123456')
  let fetched = 0
  const fetch: typeof globalThis.fetch = (input, init) => globalThis.fetch(input, (fetched++, init))
  const headers = { Authorization: 'Bearer their-key-654321' }
  answers.push({ status: 401, lines: ['their-key-654321 is unknown'] })
  const call = send(
    {},
    { client: new Ollama({ host: baseURL, headers, fetch }), baseURL: undefined as never },
  )
  await assert.rejects(call, { code: 'authentication', message: /\[redacted\] is unknown/ })
  assert.deepEqual([received[1]?.headers['authorization'], fetched], ['Bearer their-key-654321', 1])
})

test('failures print nothing, and leave nothing that keeps the process alive', async () => {
  answers.push(
    { status: 404, lines: ['{"error":'] },
    { status: 500, lines: ['<html>'] },
    { lines: ['{"junk\n'] },
  )
  const script = `
    const { create } = await import(${JSON.stringify(import.meta.resolve('../../src/providers/ollama/provider.ts'))})
    const config = { name: 'ollama', apiKey: async () => undefined, maxLineBytes: 1e6, maxResponseBytes: 1e6 }
    const messages = [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }]
    const request = { model: 'm', messages, connectMs: 5000, idleMs: 5000, warn() {} }
    const codes = []
    for (const baseURL of [...Array(3).fill(${JSON.stringify(baseURL)}), 'http://127.0.0.1:1']) {
      const provider = await create({ ...config, baseURL })
      await Array.fromAsync(provider.stream(request, new AbortController().signal)).catch((error) => codes.push(error.code))
    }
    process.exitCode = codes.join() === 'model_not_found,server_error,malformed_response,connection' ? 7 : 1`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000 })
  let output = ''
  for (const pipe of [child.stdout, child.stderr]) pipe.on('data', (piece) => (output += String(piece)))
  const [code] = (await once(child, 'close')) as [number | null]
  assert.deepEqual([code, output], [7, ''])
})

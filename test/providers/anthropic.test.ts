/** Anthropic's adapter over the wire: what goes out through its SDK, and what a reply becomes. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import Anthropic from '@anthropic-ai/sdk'
import { test } from 'vitest'
import { isConvokeError } from '../../src/errors.ts'
import { create } from '../../src/providers/anthropic/provider.ts'
import type { ChatRequest, ProviderChunk, ProviderConfig } from '../../src/provider.ts'
import type { Warning } from '../../src/types.ts'

type Fields = Record<string, unknown>

interface Sent {
  url: string
  headers: http.IncomingHttpHeaders
  body: Fields
  warnings: Warning[]
  chunks: ProviderChunk[]
}

const message = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-haiku-4-5-20251001',
  content: [{ type: 'text', text: 'Four.' }],
  stop_reason: 'end_turn',
  usage: { input_tokens: 10, output_tokens: 2 },
}
const pixel = 'iVBORw0KGgo='
const user = (text: string) => ({ role: 'user' as const, content: [{ type: 'text' as const, text }] })
const asks = (...ids: string[]) => ({
  role: 'assistant' as const,
  content: ids.map((id) => ({ type: 'tool-call' as const, id, name: 'add', arguments: { a: 1 } })),
})

/** Sends one request to a server on loopback that answers with these events, or with this message. */
async function send(
  request: Partial<ChatRequest>,
  reply: Fields[] | Fields = message,
  config: Partial<ProviderConfig> | ((baseURL: string) => Partial<ProviderConfig>) = {},
  signal = new AbortController().signal,
): Promise<Sent> {
  const sent: Sent = { url: '', headers: {}, body: {}, warnings: [], chunks: [] }
  const server = http.createServer(async (incoming, outgoing) => {
    let text = ''
    for await (const piece of incoming.setEncoding('utf8')) text += piece as string
    Object.assign(sent, { url: incoming.url, headers: incoming.headers, body: JSON.parse(text) as Fields })
    const isStream = Array.isArray(reply)
    outgoing.setHeader('content-type', isStream ? 'text/event-stream' : 'application/json')
    outgoing.end(isStream ? reply.map(asEvent).join('') : JSON.stringify(reply))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = await create({
    name: 'anthropic',
    apiKey: () => Promise.resolve('test-key-123456'),
    baseURL,
    maxLineBytes: 1_000_000,
    maxResponseBytes: 1_000_000,
    ...(typeof config === 'function' ? config(baseURL) : config),
  })
  const whole: ChatRequest = {
    model: 'claude-haiku-4-5',
    messages: [user('2 + 2?')],
    connectMs: 5_000,
    idleMs: 5_000,
    warn: (warning) => sent.warnings.push(warning),
    ...request,
  }
  try {
    const chunks = Array.isArray(reply)
      ? provider.stream(whole, signal)
      : ((await provider.generate?.(whole, signal)) ?? [])
    for await (const given of chunks) sent.chunks.push(...[given].flat())
    return sent
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

function asEvent(event: Fields): string {
  return `event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`
}

const begin = { type: 'message_start', message: { ...message, content: [], stop_reason: null } }
const end = (stopReason: string) => [
  { type: 'message_delta', delta: { stop_reason: stopReason }, usage: { output_tokens: 20 } },
  { type: 'message_stop' },
]
const block = (index: number, start: Fields, ...deltas: Fields[]) => [
  { type: 'content_block_start', index, content_block: start },
  ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
  { type: 'content_block_stop', index },
]
const tool = { type: 'tool_use', id: 'toolu_1', name: 'add', input: {} }
const jsonDelta = (text: string) => ({ type: 'input_json_delta', partial_json: text })

const turnsOf = ({ body }: Sent) => body['messages'] as { role: string; content: Fields[] }[]
const subjects = ({ warnings }: Sent) => warnings.map(({ subject }) => subject).join()
/** The chunks that a reader sees. */
const visible = ({ chunks }: Sent) =>
  chunks.filter(({ type, content }) => type !== 'usage' && (type !== 'text' || content !== ''))
const only = (sent: Sent, type: ProviderChunk['type']) => sent.chunks.filter((chunk) => chunk.type === type)
const code = (expected: string, text?: RegExp) => (error: unknown) =>
  isConvokeError(error) && error.code === expected && (!text || text.test(error.message))

test('sends the key, the system prompt and 4096 max_tokens, and leaves no listener on the signal', async () => {
  const { signal } = new AbortController()
  const { url, headers, body } = await send({ system: 'Be brief.' }, message, {}, signal)
  assert.equal(url, '/v1/messages')
  assert.equal(headers['authorization'] ?? headers['x-api-key'], 'Bearer test-key-123456')
  assert.deepEqual(body, {
    model: 'claude-haiku-4-5',
    max_tokens: 4096,
    system: 'Be brief.',
    messages: [{ role: 'user', content: [{ type: 'text', text: '2 + 2?' }] }],
    stream: false,
  })
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('merges results of tools and what the user says next into one turn, the results first', async () => {
  const result = (toolCallId: string, value: unknown) =>
    ({ type: 'tool-result', toolCallId, name: 'add', result: value }) as const
  const sent = await send({
    messages: [
      user('Add.'),
      asks('toolu_1', 'functions.add:1'),
      { role: 'tool', content: [result('toolu_1', { sum: 3 })] },
      user('And?'),
      { role: 'tool', content: [{ ...result('functions.add:1', 'overflow'), isError: true }] },
    ],
  })
  const [, assistant, answer, ...more] = turnsOf(sent)
  assert.deepEqual(more, [])
  const call = { type: 'tool_use', id: 'functions_add_1', name: 'add', input: { a: 1 } }
  assert.deepEqual(assistant?.content[1], call)
  assert.deepEqual(answer?.content, [
    { type: 'tool_result', tool_use_id: 'toolu_1', content: '{"sum":3}' },
    { type: 'tool_result', tool_use_id: 'functions_add_1', content: 'overflow', is_error: true },
    { type: 'text', text: 'And?' },
  ])
})

test('sends images, PDF and text as blocks, and refuses other files', async () => {
  const pdf = { type: 'file', mediaType: 'application/pdf', name: 'Report' } as const
  const content: (ChatRequest['messages'][number] & { role: 'user' })['content'] = [
    { type: 'image', mediaType: 'image/png', base64: pixel },
    { type: 'image', mediaType: 'image/png', url: 'https://example.com/a.png' },
    { ...pdf, base64: 'JVBERi0=' },
    { ...pdf, url: 'https://example.com/a.pdf' },
    { type: 'file', mediaType: 'text/markdown', base64: btoa('# Hi') },
    { type: 'text', text: '' },
  ]
  const url = (name: string) => ({ type: 'url', url: `https://example.com/${name}` })
  const base64 = (media_type: string, data: string) => ({ type: 'base64', media_type, data })
  assert.deepEqual(turnsOf(await send({ messages: [{ role: 'user', content }] }))[0]?.content, [
    { type: 'image', source: base64('image/png', pixel) },
    { type: 'image', source: url('a.png') },
    { type: 'document', title: 'Report', source: base64('application/pdf', 'JVBERi0=') },
    { type: 'document', title: 'Report', source: url('a.pdf') },
    { type: 'document', source: { type: 'text', media_type: 'text/plain', data: '# Hi' } },
  ])
  const sound = { type: 'file', mediaType: 'audio/wav', base64: 'UklGRg==' } as const
  const refused = send({ messages: [{ role: 'user', content: [sound] }] })
  await assert.rejects(refused, code('invalid_request', /audio\/wav/))
})

test('gives its own thinking back with its signature, and leaves out what is unsigned or foreign', async () => {
  const own = { type: 'reasoning', provider: 'anthropic' } as const
  const sent = await send({
    messages: [
      user('2 + 2?'),
      {
        role: 'assistant',
        content: [
          { ...own, text: 'Add.', signature: 'sig' },
          { ...own, text: '', redacted: true, signature: 'opaque' },
          { ...own, text: 'unsigned' },
          { ...own, text: 'foreign', provider: 'openai', signature: 'x' },
          { type: 'text', text: '\n\n' },
          { type: 'text', text: 'Four.' },
        ],
      },
      user('Sure?'),
    ],
  })
  assert.deepEqual(turnsOf(sent)[1]?.content, [
    { type: 'thinking', thinking: 'Add.', signature: 'sig' },
    { type: 'redacted_thinking', data: 'opaque' },
    { type: 'text', text: 'Four.' },
  ])
  assert.equal(subjects(sent), 'reasoning')
})

test('leaves sampling options out with a warning, unless the API version asked for still takes them', async () => {
  const options = { temperature: 0.5, topP: 0.9, topK: 5, seed: 1 }
  const now = await send(options)
  assert.equal(subjects(now), 'seed,temperature,topP,topK')
  assert.equal('temperature' in now.body || 'top_p' in now.body || 'top_k' in now.body, false)

  const before = await send(options, message, { headers: { 'Anthropic-Version': '2023-06-01' } })
  assert.equal(before.headers['anthropic-version'], '2023-06-01')
  assert.deepEqual([before.body['temperature'], before.body['top_p'], before.body['top_k']], [0.5, 0.9, 5])
  assert.equal(subjects(before), 'seed')

  const defaultHeaders = { 'anthropic-version': '2023-06-01' }
  const client = await send(options, message, (baseURL) => ({
    client: new Anthropic({ apiKey: 'key-of-the-client', baseURL, defaultHeaders }),
  }))
  assert.equal(client.body['temperature'], 0.5)
  assert.equal(client.headers['authorization'], 'Bearer key-of-the-client')
})

test('words reasoning as a budget, an effort, adaptive or disabled', async () => {
  const cases: [ChatRequest['reasoning'] & {}, Fields][] = [
    [{ maxTokens: 2048 }, { thinking: { type: 'enabled', budget_tokens: 2048 }, max_tokens: 6144 }],
    ['minimal', { thinking: { type: 'adaptive' }, output_config: { effort: 'low' }, max_tokens: 20_480 }],
    ['max', { thinking: { type: 'adaptive' }, output_config: { effort: 'max' }, max_tokens: 20_480 }],
    [true, { thinking: { type: 'adaptive' }, output_config: undefined, max_tokens: 20_480 }],
    [false, { thinking: { type: 'disabled' }, output_config: undefined, max_tokens: 4096 }],
    ['none', { thinking: { type: 'disabled' }, output_config: undefined, max_tokens: 4096 }],
  ]
  for (const [reasoning, { thinking, output_config, max_tokens }] of cases) {
    const { body } = await send({ reasoning })
    const told = [body['thinking'], body['output_config'], body['max_tokens']]
    assert.deepEqual(told, [thinking, output_config, max_tokens], JSON.stringify(reasoning))
  }
  assert.equal((await send({ reasoning: { maxTokens: 2048 }, maxTokens: 3000 })).body['max_tokens'], 3000)
})

test('words tools, stop texts, the choice of a tool and the user, and lets vendor fields win', async () => {
  const options = { tools: [{ name: 'add' }], stop: ['END'], metadata: { userId: 'u1', team: 'red' } }
  const choices = { auto: { type: 'auto' }, required: { type: 'any' }, none: { type: 'none' } }
  for (const [toolChoice, worded] of Object.entries(choices)) {
    const { body } = await send({ ...options, toolChoice: toolChoice as keyof typeof choices })
    assert.deepEqual(body['tool_choice'], worded)
  }
  const { body, warnings } = await send({
    ...options,
    toolChoice: { name: 'add' },
    vendor: { max_tokens: 7, stream: true },
  })
  assert.deepEqual(body['tool_choice'], { type: 'tool', name: 'add' })
  assert.deepEqual(body['tools'], [{ name: 'add', input_schema: { type: 'object', properties: {} } }])
  assert.deepEqual(body['stop_sequences'], ['END'])
  assert.deepEqual(body['metadata'], { user_id: 'u1' })
  assert.match(warnings[0]?.message ?? '', /left out: team/)
  assert.deepEqual([body['max_tokens'], body['stream']], [7, false])
})

test('gives thinking between tools with its signatures, and usage that counts cached input', async () => {
  const cache = { cache_read_input_tokens: 5, cache_creation_input_tokens: 2 }
  const usage = { input_tokens: 10, output_tokens: 1, ...cache }
  const counts = { output_tokens: 9, output_tokens_details: { thinking_tokens: 4 } }
  const last = { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: counts }
  const signed = { type: 'signature_delta', signature: 's1' }
  const sent = await send({}, [
    { type: 'message_start', message: { ...message, content: [], stop_reason: null, usage } },
    { type: 'ping' },
    ...block(0, { type: 'thinking', thinking: '' }, { type: 'thinking_delta', thinking: 'One.' }, signed),
    ...block(1, tool, jsonDelta(''), jsonDelta('{"a":'), jsonDelta('1}')),
    ...block(2, { type: 'redacted_thinking', data: 'opaque' }),
    ...block(3, { type: 'server_tool_use', id: 'srv', name: 'web_search', input: {} }, jsonDelta('{"q":')),
    ...block(4, { type: 'text', text: '' }, { type: 'text_delta', text: 'Done.' }),
    last,
    { type: 'message_stop' },
  ])
  const toolCall = { id: 'toolu_1', name: 'add', arguments: { a: 1 } }
  const finish = { type: 'finish', content: '', finishReason: 'tool-calls', rawFinishReason: 'tool_use' }
  const cached = { cachedInputTokens: 5, cacheWriteInputTokens: 2 }
  const total = { inputTokens: 17, outputTokens: 9, reasoningTokens: 4, ...cached }
  assert.deepEqual(visible(sent), [
    { type: 'start', content: '', id: 'msg_1', model: 'claude-haiku-4-5-20251001' },
    { type: 'reasoning', content: '', reasoning: 'One.' },
    { type: 'reasoning', content: '', reasoning: '', signature: 's1' },
    { type: 'tool-call-start', content: '', id: 'toolu_1', name: 'add' },
    { type: 'tool-call-delta', content: '', id: 'toolu_1', argumentsDelta: '{"a":' },
    { type: 'tool-call-delta', content: '', id: 'toolu_1', argumentsDelta: '1}' },
    { type: 'tool-call', content: '', toolCall },
    { type: 'reasoning', content: '', reasoning: '', redacted: true, signature: 'opaque' },
    { type: 'text', content: 'Done.' },
    { ...finish, usage: total, raw: last },
  ])
})

test('a call without arguments keeps its place among the blocks; the last one, cut off, is no call', async () => {
  const other = { ...tool, id: 'toolu_2' }
  const blocks = [
    ...block(0, tool),
    ...block(1, { type: 'text', text: 'So.' }),
    ...block(2, other, jsonDelta('{"a":1}')),
  ]
  const sent = await send({}, [begin, ...blocks, ...end('tool_use')])
  const order = visible(sent).map(({ type }) => type)
  assert.deepEqual(
    order.filter((type) => type === 'tool-call' || type === 'text'),
    ['tool-call', 'text', 'tool-call'],
  )
  await assert.rejects(send({}, [begin, ...block(0, tool), ...end('max_tokens')]), {
    code: 'malformed_response',
  })
})

test('takes the input of a tool call from where the block starts, when no deltas follow', async () => {
  const sent = await send({}, [begin, ...block(0, { ...tool, input: { a: 7 } }), ...end('tool_use')])
  const call = {
    type: 'tool-call',
    content: '',
    toolCall: { id: 'toolu_1', name: 'add', arguments: { a: 7 } },
  }
  assert.deepEqual(only(sent, 'tool-call'), [call])
  const content = [{ ...tool, input: { a: 7 } }]
  assert.deepEqual(only(await send({}, { ...message, content, stop_reason: 'tool_use' }), 'tool-call'), [
    call,
  ])
})

test('throws malformed_response for a tool call that max_tokens cut off, streamed or whole', async () => {
  const cut = send({}, [begin, ...block(0, tool, jsonDelta('{"path":"/tm')), ...end('max_tokens')])
  await assert.rejects(cut, code('malformed_response', /max_tokens/))
  const whole = send({}, { ...message, content: [{ ...tool, input: { a: 1 } }], stop_reason: 'max_tokens' })
  await assert.rejects(whole, code('malformed_response', /max_tokens/))
})

test('tells a stream without message_stop, and one that the vendor broke off, from a whole one', async () => {
  const text = block(0, { type: 'text', text: '' }, { type: 'text_delta', text: 'Hi' })
  await assert.rejects(send({}, [begin, ...text, end('end_turn')[0] as Fields]), code('stream_truncated'))
  const overloaded = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }
  await assert.rejects(send({}, [begin, ...text, overloaded]), code('overloaded'))
})

test('says by a second start chunk that the message began anew', async () => {
  const half = block(0, tool, jsonDelta('{"a":')).slice(0, -1)
  const again = [begin, begin, ...half, begin, ...block(0, { type: 'text', text: 'Four.' })]
  const sent = await send({}, [...again, ...end('end_turn')])
  const types = visible(sent).map(({ type }) => type)
  assert.deepEqual(types, ['start', 'tool-call-start', 'tool-call-delta', 'start', 'text', 'finish'])
})

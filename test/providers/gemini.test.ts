/** Gemini's adapter, over the wire and through both SDKs: what it sends, and what it makes of the events. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { inspect } from 'node:util'
import { GoogleGenAI } from '@google/genai'
import { GoogleGenerativeAI } from '@google/generative-ai'
import { afterAll, beforeAll, beforeEach, test } from 'vitest'
import { ConvokeError } from '../../src/errors.ts'
import { create } from '../../src/providers/gemini/provider.ts'
import type { ChatRequest, Provider, ProviderChunk, ProviderConfig } from '../../src/provider.ts'

type Fields = Record<string, unknown>

const fetchBefore = globalThis.fetch
const received: { url: string; headers: http.IncomingHttpHeaders; body: Fields }[] = []
/** Answers in turn: a body, or the text of a stream as it is. */
const answers: { status?: number; body: unknown }[] = []
const warnings: string[] = []
const rejections: unknown[] = []
const onRejection = (error: unknown) => rejections.push(error)
let baseURL = ''
const server = http.createServer((request, response) => {
  let text = ''
  // Code that runs between the steps of every call.
  if (globalThis.fetch !== fetchBefore) rejections.push(new Error('globalThis.fetch is another'))
  request.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  request.on('end', () => {
    const { url = '', headers } = request
    received.push({ url, headers, body: (text ? JSON.parse(text) : {}) as Fields })
    const whole = reply([{ text: 'ok' }], { finishReason: 'STOP' })
    const { status = 200, body } = answers.shift() ?? { body: url.includes('alt=sse') ? sse(whole) : whole }
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
})

beforeAll(async () => {
  process.on('unhandledRejection', onRejection)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  for (const list of [received, answers, warnings]) list.length = 0
})
afterAll(async () => {
  server.close()
  // A rejection that nobody handles shows a turn later.
  await wait(10)
  process.off('unhandledRejection', onRejection)
  assert.deepEqual(rejections, [])
})

const signal = new AbortController().signal
const key = 'test-key-123456'
/** Of the clients that a user brings. */
const apiKey = 'client-key-123'
const signature = 'c2lnbmF0dXJl'

function reply(parts: Fields[], candidate: Fields = {}, more: Fields = {}): Fields {
  return { candidates: [{ content: { role: 'model', parts }, ...candidate }], ...more }
}

const turn = (role: string, ...parts: Fields[]) => ({ role, parts })
const sse = (...events: Fields[]) => events.map((event) => `data: ${JSON.stringify(event)}\r\n\r\n`).join('')

function provider(more: Partial<ProviderConfig> = {}): Promise<Provider> | Provider {
  const limits = { maxLineBytes: 1e6, maxResponseBytes: 1e6 }
  return create({ name: 'gemini', apiKey: () => Promise.resolve(key), baseURL, ...limits, ...more })
}

/** The default, and both kinds of clients that a user may bring. */
const ways: Record<string, () => Partial<ProviderConfig>> = {
  'by name': () => ({}),
  'a GoogleGenerativeAI': () => ({ client: new GoogleGenerativeAI(apiKey) }),
  'a GoogleGenAI': () => ({ client: new GoogleGenAI({ apiKey, httpOptions: { baseUrl: baseURL } }) }),
  'a GoogleGenAI for Vertex AI': () => ({
    client: new GoogleGenAI({ vertexai: true, apiKey, httpOptions: { baseUrl: baseURL } }),
  }),
}

function chat(more: Partial<ChatRequest> = {}): ChatRequest {
  const messages: ChatRequest['messages'] = [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }]
  const warn: ChatRequest['warn'] = ({ subject = '' }) => warnings.push(subject)
  return { model: 'gemini-3-flash', messages, connectMs: 5_000, idleMs: 5_000, warn, ...more }
}

async function send(more: Partial<ChatRequest> = {}, config: Partial<ProviderConfig> = {}): Promise<Fields> {
  await (await provider(config)).generate?.(chat(more), signal)
  return received.at(-1)?.body ?? {}
}

async function stream(body?: string, config: Partial<ProviderConfig> = {}): Promise<ProviderChunk[]> {
  if (body !== undefined) answers.push({ body })
  const chunks: ProviderChunk[] = []
  for await (const given of (await provider(config)).stream(chat(), signal)) chunks.push(...[given].flat())
  return chunks
}

const textOf = (chunks: ProviderChunk[]) => chunks.map((chunk) => chunk.content).join('')
const only = <T extends ProviderChunk['type']>(chunks: ProviderChunk[], type: T) =>
  chunks.filter((chunk): chunk is Extract<ProviderChunk, { type: T }> => chunk.type === type)

for (const [way, config] of Object.entries(ways)) {
  test(`${way}: options, system and tools go under the names of the wire`, async () => {
    const vendor = { generationConfig: { seed: 2, newWord: { a: 1 } }, safetySettings: [], newField: 1 }
    const parameters = { type: 'object', additionalProperties: false }
    const body = await send(
      {
        ...{ temperature: 0.5, maxTokens: 9, topP: 0.8, topK: 3, stop: ['x'], seed: 1, vendor },
        ...{ presencePenalty: 0.1, frequencyPenalty: 0.2, reasoning: { maxTokens: 64 }, system: 'Be brief.' },
        tools: [{ name: 'look', description: 'Looks.', parameters }, { name: 'now' }],
        toolChoice: { name: 'look' },
        metadata: { a: 'b' },
      },
      config(),
    )
    const { role: _, ...systemInstruction } = body['systemInstruction'] as Fields
    const declarations = [
      { name: 'look', description: 'Looks.', parametersJsonSchema: parameters },
      { name: 'now' },
    ]
    const expected = {
      contents: [turn('user', { text: 'hi' })],
      systemInstruction: { parts: [{ text: 'Be brief.' }] },
      tools: [{ functionDeclarations: declarations }],
      toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['look'] } },
      ...{ safetySettings: [], newField: 1 },
      generationConfig: {
        ...{ maxOutputTokens: 9, temperature: 0.5, topP: 0.8, topK: 3, stopSequences: ['x'], seed: 2 },
        ...{ presencePenalty: 0.1, frequencyPenalty: 0.2, newWord: { a: 1 } },
        thinkingConfig: { thinkingBudget: 64, includeThoughts: true },
      },
    }
    assert.deepEqual({ ...body, systemInstruction }, expected)
    assert.deepEqual(warnings, ['metadata'])
    const { url, headers } = received.at(-1) ?? {}
    assert.match(url ?? '', /^\/v1(beta1?)?\/(publishers\/google\/)?models\/gemini-3-flash:generateContent$/)
    assert.equal(headers?.['x-goog-api-key'], way === 'by name' ? key : apiKey)
  })

  test(`${way}: a conversation with media, thoughts, calls and results goes back as it came`, async () => {
    const made = 'call_00000000000040008000000000000000'
    const call = { type: 'tool-call', id: made, name: 'look', arguments: { at: 1 }, signature } as const
    const result = { type: 'tool-result', toolCallId: made, name: 'look', result: 'dark' } as const
    const messages: ChatRequest['messages'] = [
      {
        role: 'user',
        content: [
          { type: 'image', mediaType: 'image/png', base64: 'AAAA' },
          { type: 'file', mediaType: 'text/csv', url: 'https://example.com/a.csv', name: 'a.csv' },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', text: 'hmm', provider: 'gemini' },
          { type: 'reasoning', text: 'foreign', provider: 'openai', signature: 'x' },
          { type: 'text', text: 'I look.', signature },
          call,
          { type: 'tool-call', id: 'own-2', name: 'now', arguments: {} },
        ],
      },
      { role: 'tool', content: [{ ...result, toolCallId: 'own-2', name: 'now', result: { hour: 9 } }] },
      { role: 'tool', content: [result] },
      { role: 'assistant', content: [{ ...call, id: 'own-3' }] },
      { role: 'tool', content: [{ ...result, toolCallId: 'own-3', result: ['no'], isError: true }] },
    ]
    const functionCall = { name: 'look', args: { at: 1 } }
    const failed = { id: 'own-3', name: 'look', response: { error: '["no"]' } }
    const expected = [
      turn(
        'user',
        { inlineData: { mimeType: 'image/png', data: 'AAAA' } },
        { fileData: { mimeType: 'text/csv', fileUri: 'https://example.com/a.csv' } },
      ),
      turn(
        'model',
        { text: 'hmm', thought: true },
        { text: 'I look.', thoughtSignature: signature },
        { functionCall, thoughtSignature: signature },
        { functionCall: { id: 'own-2', name: 'now', args: {} } },
      ),
      turn(
        'user',
        { functionResponse: { name: 'look', response: { result: 'dark' } } },
        { functionResponse: { id: 'own-2', name: 'now', response: { hour: 9 } } },
      ),
      turn('model', { functionCall: { id: 'own-3', ...functionCall }, thoughtSignature: signature }),
      turn('user', { functionResponse: failed }),
    ]
    assert.deepEqual((await send({ messages }, config()))['contents'], expected)
    assert.deepEqual(warnings, ['reasoning'])
  })

  test(`${way}: a stream is asked for and read, and its models are listed`, async () => {
    const raw = { name: 'models/gemini-3', displayName: 'Three', inputTokenLimit: 9, outputTokenLimit: 4 }
    const chunks = await stream(sse(reply([{ text: 'Hi' }], { finishReason: 'STOP' })), config())
    assert.equal(textOf(chunks), 'Hi')
    assert.match(received.at(-1)?.url ?? '', /:streamGenerateContent\?alt=sse$/)
    answers.push({ body: { models: [raw] } })
    const models = await (await provider(config())).listModels?.(signal)
    assert.deepEqual(models, [{ id: 'gemini-3', name: 'Three', contextWindow: 9, maxOutputTokens: 4, raw }])
    assert.match(received.at(-1)?.url ?? '', /\/models\?pageSize=1000/)
  })

  test(`${way}: an error tells its code, and no key`, async () => {
    const details = [{ reason: 'API_KEY_INVALID' }, { retryDelay: '34s' }]
    const message = `API key ${key} ${apiKey} not valid.`
    const error = { code: 400, message, status: 'INVALID_ARGUMENT', details }
    answers.push({ status: 400, body: [{ error }] })
    const thrown = await send({}, config()).catch((failure: unknown) => failure as ConvokeError)
    assert.ok(thrown instanceof ConvokeError)
    const { code, retryAfterMs } = thrown
    assert.deepEqual({ code, retryAfterMs }, { code: 'authentication', retryAfterMs: 34_000 })
    assert.equal(inspect(thrown).includes(way === 'by name' ? key : apiKey), false)
  })
}

test('thinking is asked for by level, by budget before Gemini 3, and can be switched off', async () => {
  const thinking = async (reasoning: ChatRequest['reasoning'], model = 'gemini-3-flash') => {
    const { generationConfig } = await send({ ...(reasoning === undefined ? {} : { reasoning }), model })
    return (generationConfig as Fields)['thinkingConfig']
  }
  const includeThoughts = true
  assert.deepEqual(await thinking('low'), { thinkingLevel: 'LOW', includeThoughts })
  assert.deepEqual(await thinking('max'), { thinkingLevel: 'HIGH', includeThoughts })
  assert.deepEqual(await thinking('low', 'gemini-2.5-flash'), { thinkingBudget: 1_024, includeThoughts })
  assert.deepEqual(await thinking(true), { includeThoughts: true })
  for (const off of [false, 'none'] as const) assert.deepEqual(await thinking(off), { thinkingBudget: 0 })
  assert.equal(await thinking(undefined), undefined)
  assert.deepEqual(warnings, ['reasoning'])
})

test('calls that another vendor made carry the word that stands for a signature', async () => {
  const call = { type: 'tool-call', id: 'toolu_1', name: 'look', arguments: {} } as const
  const messages: ChatRequest['messages'] = [
    { role: 'assistant', content: [call, { ...call, id: 'toolu_2' }] },
  ]
  const signatures = async (model: string) => {
    const [calls] = (await send({ model, messages }))['contents'] as { parts: Fields[] }[]
    return calls?.parts.map((part) => part['thoughtSignature'])
  }
  assert.deepEqual(await signatures('gemini-3-flash'), ['skip_thought_signature_validator', undefined])
  assert.deepEqual(await signatures('gemini-2.5-flash'), [undefined, undefined])
})

test('thoughts, text, a signature on an empty text, and usage come apart', async () => {
  const labels = { modelVersion: 'gemini-3-flash-001', responseId: 'r1' }
  const counts = { promptTokenCount: 5, toolUsePromptTokenCount: 7, cachedContentTokenCount: 3 }
  const usageMetadata = { ...counts, candidatesTokenCount: 2, thoughtsTokenCount: 4, totalTokenCount: 18 }
  const chunks = await stream(
    ': keep-alive\n\n' +
      sse(reply([{ text: 'hmm', thought: true }], {}, labels)) +
      ': keep-alive\n\n' +
      `data:${JSON.stringify(reply([{ text: 'a\u2028b' }], {}, labels))}\n\n` +
      sse(reply([{ executableCode: { code: '1' } }]), reply([{ text: '', thoughtSignature: signature }])) +
      sse(reply([], { finishReason: 'MAX_TOKENS' }, { usageMetadata })) +
      'data: [DONE]\n\n',
  )
  const usage = { inputTokens: 12, outputTokens: 6, cachedInputTokens: 3, reasoningTokens: 4 }
  const { raw: _, ...finish } = only(chunks, 'finish')[0] as Fields
  const expected = [
    { type: 'start', content: '', id: 'r1', model: 'gemini-3-flash-001' },
    { type: 'reasoning', content: '', reasoning: 'hmm' },
    { type: 'text', content: 'a\u2028b' },
    { type: 'text', content: '' },
    { type: 'text', content: '', signature },
    { type: 'usage', content: '', usage },
    { type: 'finish', content: '', finishReason: 'length', rawFinishReason: 'MAX_TOKENS', usage },
  ]
  assert.deepEqual([...chunks.slice(0, -1), finish], expected)
})

const piece = (functionCall: Fields, candidate: Fields = {}) => reply([{ functionCall }], candidate)
const value = (jsonPath: string, more: Fields) =>
  piece({ partialArgs: [{ jsonPath, ...more }], willContinue: true })

test('streamed arguments are put together, and their JSON text comes in pieces', async () => {
  const chunks = await stream(
    sse(
      reply([{ functionCall: { name: 'cook', willContinue: true }, thoughtSignature: signature }]),
      value('$.steps[0].text', { stringValue: 'say "}', willContinue: true }),
      value('$.steps[0].text', { stringValue: '\\"]', willContinue: true }),
      value('$.steps[0].text', { stringValue: '' }),
      value('$.steps[0].minutes', { numberValue: 0.5 }),
      value('$.steps[1].text', { nullValue: 'NULL_VALUE' }),
      value("$['a key']", { boolValue: false }),
      value('$.__proto__.x', { numberValue: 1 }),
      piece({}),
      piece({ name: 'now', args: { at: 1 } }, { finishReason: 'STOP' }),
    ),
  )
  const calls = only(chunks, 'tool-call').map(({ toolCall }) => toolCall)
  const steps = [{ text: 'say "}\\"]', minutes: 0.5 }, { text: null }]
  const input = JSON.parse(JSON.stringify({ steps, 'a key': false }).replace(/}$/, ',"__proto__":{"x":1}}'))
  assert.deepEqual(calls[0], { id: calls[0]?.id, name: 'cook', arguments: input, signature })
  assert.deepEqual(calls[1], { id: calls[1]?.id, name: 'now', arguments: { at: 1 } })
  assert.equal((Object.prototype as Fields)['x'], undefined)
  const deltas = only(chunks, 'tool-call-delta').filter(({ id }) => id === calls[0]?.id)
  assert.ok(deltas.length > 5)
  assert.deepEqual(JSON.parse(deltas.map((delta) => delta.argumentsDelta).join('')), input)
  assert.equal(only(chunks, 'finish')[0]?.finishReason, 'tool-calls')
})

test('arguments that come out of order are whole all the same, and a text left open is cut off', async () => {
  const begin = piece({ name: 'cook', willContinue: true })
  const a = value('$.a[0]', { stringValue: 'x' })
  const b = value('$.b', { stringValue: 'y', willContinue: true })
  const c = value('$.a[1]', { stringValue: 'z' })
  const stop = reply([{ text: '' }], { finishReason: 'STOP' })
  const d = value('$.d', { stringValue: '1', willContinue: true })
  const end = value('$.d', { stringValue: '' })
  await assert.rejects(stream(sse(begin, a, b, c, d, d, stop)), { code: 'malformed_response' })
  const chunks = await stream(sse(begin, a, b, c, d, d, end, stop))
  assert.deepEqual(only(chunks, 'tool-call')[0]?.toolCall.arguments, { a: ['x', 'z'], b: 'y', d: '11' })
  const cutOff = sse(begin, a, b, reply([], { finishReason: 'MAX_TOKENS' }))
  await assert.rejects(stream(cutOff), { code: 'malformed_response' })
  for (const jsonPath of ['$.a[900000000]', '$', 'a.b', '$[0]']) {
    const odd = sse(begin, value(jsonPath, { numberValue: 1 }))
    await assert.rejects(stream(odd), { code: 'malformed_response' })
  }
})

test('a blocked prompt is content_filtered, and a filtered reply ends as content-filter', async () => {
  const blocked = { promptFeedback: { blockReason: 'SAFETY', blockReasonMessage: 'Reasons' } }
  const expected = { code: 'content_filtered', message: /SAFETY \(Reasons\)/ }
  await assert.rejects(stream(sse(blocked)), expected)
  answers.push({ body: blocked })
  await assert.rejects(send(), expected)
  const chunks = await stream(sse(reply([{ text: 'So' }], { finishReason: 'RECITATION' })))
  assert.equal(only(chunks, 'finish')[0]?.finishReason, 'content-filter')
})

test('STOP on every event does not end the text early', async () => {
  const texts = ['First ', 'second ', 'third']
  const body = sse(...texts.map((text) => reply([{ text }], { finishReason: 'STOP' })))
  assert.equal(textOf(await stream(body)), 'First second third')
  const error = { code: 499, status: 'CANCELLED', message: 'cancelled' }
  const cancelled = body + JSON.stringify({ error }, null, 2)
  await assert.rejects(stream(cancelled), { code: 'server_error', status: 499 })
  // The connection ended inside an event.
  await assert.rejects(stream(body.slice(0, -20)), { code: 'stream_truncated' })
})

test('a stream without a finish reason is truncated, but for servers that show no sign of ever giving one', async () => {
  const old = (text: string) => ({ candidates: [{ content: { parts: [{ text }] }, index: 0 }] })
  const broken = [sse(reply([{ text: 'Hi' }])), sse({ ...old('Hi'), responseId: 'r1' })]
  for (const body of ['', ': keep-alive\n\n', ...broken]) {
    await assert.rejects(stream(body), { code: 'stream_truncated' })
  }
  const chunks = await stream(sse(old('Old '), old('news')))
  assert.equal(textOf(chunks), 'Old news')
  assert.equal(only(chunks, 'finish')[0]?.finishReason, 'other')
})

test('globalThis.fetch is what it was while many calls run, and a fetch of others is not taken', async () => {
  const calls = Array.from({ length: 20 }, (_, at) => (at % 2 ? stream() : send()))
  const other = fetchBefore(`${baseURL}/other`)
  assert.equal(globalThis.fetch, fetchBefore)
  await Promise.all([...calls, other])
  assert.equal(received.length, 21)
  // The SDK throws before it sends: this header is its own.
  await assert.rejects(send({}, { headers: { 'x-goog-api-client': 'mine' } }), { code: 'invalid_request' })
  assert.equal(globalThis.fetch, fetchBefore)
})

test('an abort ends a call with its reason, and a second call at once', async () => {
  const controller = new AbortController()
  const error = new ConvokeError('cancelled', 'enough')
  const call = async () => (await provider()).generate?.(chat(), controller.signal)
  const running = call()
  setImmediate(() => controller.abort(error))
  await assert.rejects(running, error)
  await assert.rejects(call(), error)
})

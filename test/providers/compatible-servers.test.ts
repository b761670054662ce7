/** What servers that speak OpenAI's API really send: shapes seen in the wild, each written for what it shows. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLLM } from 'convoke'
import type { ErrorCode, GenerateResponse, LLMOptions } from 'convoke'
import { afterAll, beforeAll, test } from 'vitest'

let body = ''
let contentType = 'text/event-stream'
let requests = 0
let server: http.Server
let baseURL = ''

beforeAll(async () => {
  server = http.createServer((request, response) => {
    requests++
    request.resume()
    response.writeHead(200, { 'content-type': contentType }).end(body)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

function stream(text: string, options: LLMOptions = {}): Promise<GenerateResponse> {
  body = text
  contentType = 'text/event-stream'
  return connect(options).stream('Hi').response
}

function connect(options: LLMOptions = {}) {
  return createLLM('openai', { model: 'm', apiKey: 'k', baseURL, retry: { attempts: 1 }, ...options })
}

const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`
const delta = (fields: object, finish: string | null = null, more: object = {}) =>
  event({ choices: [{ index: 0, delta: fields, finish_reason: finish, ...more }] })
const call = (fields: object) => ({ tool_calls: [fields] })
const end = delta({}, 'stop')
const done = 'data: [DONE]\n\n'

/** The form in which OpenAI itself sends a piece of text, and in which it is read without being parsed. */
const plain = (
  fields: object,
  finish: string | null = null,
  more: object = { usage: null, obfuscation: 'x1' },
) =>
  event({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm-1',
    service_tier: 'default',
    system_fingerprint: null,
    choices: [{ index: 0, delta: fields, logprobs: null, finish_reason: finish }],
    ...more,
  })

const whole: [name: string, text: string, check: (reply: GenerateResponse) => void][] = [
  [
    'keep-alives in any form are nothing',
    `: ping\n\nevent: ping\ndata:\n\ndata: \n\n${delta({ content: 'Hi' })}${end}data: [DONE] \n\n`,
    ({ content }) => assert.equal(content, 'Hi'),
  ],
  [
    'a blank before the field name loses no text',
    ` data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n${delta({ content: 'lo' })}${end}${done}`,
    ({ content }) => assert.equal(content, 'Hello'),
  ],
  [
    'null where a list or an object belongs is nothing',
    `${event({ choices: null })}${event({ choices: [null] })}${delta({ content: null, tool_calls: null })}${event({ choices: [{ delta: null }] })}${delta({ content: 'Hi', tool_calls: [null] })}${end}${done}`,
    ({ content }) => assert.equal(content, 'Hi'),
  ],
  [
    'text is the same, parsed or not: escapes, controls, look-alikes, a second choice',
    plain({ role: 'assistant', content: '' }) +
      ['a', '"b"', '\\', '\n', '"},"logprobs":null', '数', ' ']
        .map((content) => plain({ content }))
        .join('') +
      plain({ content: 'c' }).replace('"index":0', '"index":1') +
      plain({ content: 'd', refusal: null }) +
      plain({}, 'stop') +
      done,
    ({ content, finishReason }) =>
      assert.deepEqual([content, finishReason], ['a"b"\\\n"},"logprobs":null数 d', 'stop']),
  ],
  [
    'what comes with a piece of text is not passed over: usage, tool calls, a finish reason',
    plain({ content: 'a' }) +
      plain({
        content: 'b',
        tool_calls: [{ index: 0, id: 'c1', function: { name: 'f', arguments: '{}' } }],
      }) +
      plain({ content: 'c' }, null, { usage: { prompt_tokens: 3, completion_tokens: 4 } }) +
      plain({ content: 'd' }, 'length') +
      done,
    ({ content, usage, toolCalls, finishReason }) =>
      assert.deepEqual(
        [content, usage.outputTokens, toolCalls.length, finishReason],
        ['abcd', 4, 1, 'length'],
      ),
  ],
  [
    'plain text behind a first event without choices (Azure) is a reply',
    event({ choices: [], prompt_filter_results: [] }) +
      plain({ content: 'Hi' }) +
      plain({ content: '!' }) +
      done,
    ({ content }) => assert.equal(content, 'Hi!'),
  ],
  [
    'usage in the choice (Kimi) is read',
    `${delta({ content: 'Hi' })}${delta({}, 'stop', { usage: { prompt_tokens: 3, completion_tokens: 4 } })}${done}`,
    ({ usage }) =>
      assert.deepEqual([usage.inputTokens, usage.outputTokens, usage.source], [3, 4, 'provider']),
  ],
  [
    'usage in x_groq is read',
    `${delta({ content: 'Hi' })}${event({ choices: [{ delta: {}, finish_reason: 'stop' }], x_groq: { usage: { prompt_tokens: 3, completion_tokens: 4 } } })}${done}`,
    ({ usage }) => assert.equal(usage.source, 'provider'),
  ],
  [
    'counts of null are not told by the vendor',
    `${delta({ content: 'Hi' })}${end}${event({ choices: [], usage: { prompt_tokens: null, completion_tokens: null } })}${done}`,
    ({ usage }) => assert.equal(usage.source, 'estimated'),
  ],
  [
    'a reply that ends without a reason does not claim one',
    `${delta({ content: 'half' })}${done}`,
    ({ content, finishReason }) => assert.deepEqual([content, finishReason], ['half', 'other']),
  ],
  [
    'two whole calls with one id are two calls',
    `${delta(call({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x":1}' } }))}${delta(call({ index: 1, id: 'a', function: { name: 'f', arguments: '{"x":2}' } }))}${delta({}, 'tool_calls')}${done}`,
    ({ toolCalls }) =>
      assert.deepEqual(
        toolCalls.map(({ arguments: input }) => input),
        [{ x: 1 }, { x: 2 }],
      ),
  ],
  [
    'a number for an id becomes a text, one call stands for a list, and a signature stays with its call',
    `${delta({ tool_calls: { id: 7, function: { name: 'f', arguments: '{}' }, extra_content: { google: { thought_signature: 'sig' } } } })}${delta({}, 'tool_calls')}${done}`,
    ({ toolCalls }) => assert.deepEqual(toolCalls, [{ id: '7', name: 'f', arguments: {}, signature: 'sig' }]),
  ],
  [
    'a plain reply to a stream request is read as what it is',
    JSON.stringify({ id: 'x', choices: [{ message: { content: 'Whole' }, finish_reason: 'stop' }] }),
    ({ content, finishReason }) => assert.deepEqual([content, finishReason], ['Whole', 'stop']),
  ],
]

for (const [name, text, check] of whole) test(name, async () => check(await stream(text)))

const broken: [name: string, text: string, code: ErrorCode][] = [
  ['a stream of [DONE] alone', done, 'stream_truncated'],
  [
    "an error in vLLM's older form",
    `${delta({ content: 'Hi' })}${event({ object: 'error', message: 'boom', code: 500 })}${done}`,
    'server_error',
  ],
  [
    'an error in x_groq',
    `${delta({ content: 'Hi' })}${event({ choices: [], x_groq: { error: 'over capacity' } })}${done}`,
    'server_error',
  ],
  [
    'an error in the choice (OpenRouter)',
    `${delta({ content: 'Hi' })}${delta({}, 'error', { error: { code: 502, message: 'upstream' } })}${done}`,
    'server_error',
  ],
  [
    'an error whose type is a name of every object',
    event({ error: { type: 'constructor', message: 'x' } }),
    'server_error',
  ],
  [
    'a call cut off before its first argument',
    `${delta(call({ index: 0, id: 'a', function: { name: 'f', arguments: '' } }))}${delta({}, 'length')}${done}`,
    'malformed_response',
  ],
  [
    'a call cut off by a filter',
    `${delta(call({ index: 0, id: 'a', function: { name: 'f', arguments: '{"a"' } }))}${delta({}, 'content_filter')}${done}`,
    'malformed_response',
  ],
  ['a page of HTML', '<html><body>Welcome</body></html>', 'malformed_response'],
  ['an empty body', '', 'stream_truncated'],
]

for (const [name, text, code] of broken) {
  test(`${name} is ${code}`, async () => {
    await assert.rejects(stream(text), (error: { code: unknown }) => {
      assert.equal(error.code, code, String(error))
      return true
    })
  })
}

test('a page of HTML is not asked for again, and neither is a reply without a stream', async () => {
  requests = 0
  await assert.rejects(stream('<html></html>', { retry: { attempts: 3, minDelayMs: 1 } }))
  assert.equal(requests, 1)
})

test("another vendor's long call ids become ids that the server takes, the same for call and result", async () => {
  const id = 'chatcmpl-tool-0123456789abcdef0123456789abcdef'
  for (const [name, wanted] of [
    ['openai', /^[0-9a-f]{40}$/],
    ['mistral', /^[a-z0-9]{9}$/],
    ['groq', /^chatcmpl-tool-/],
  ] as const) {
    contentType = 'application/json'
    body = JSON.stringify({ choices: [{ message: { content: 'ok' }, finish_reason: 'stop' }] })
    let sent = ''
    const fetch: typeof globalThis.fetch = (input, init) => (
      (sent = String(init?.body)),
      globalThis.fetch(input, init)
    )
    await createLLM(name, { model: 'm', apiKey: 'k', baseURL, fetch }).agenerate([
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: null as never, toolCalls: [{ id, name: 'f', arguments: {} }] },
      { role: 'tool', toolCallId: id, content: 'done' },
    ])
    const [, assistant, tool] = (JSON.parse(sent) as { messages: Record<string, never>[] }).messages
    const [called] = assistant?.['tool_calls'] as unknown as { id: string }[]
    assert.match(called?.id ?? '', wanted)
    assert.equal(tool?.['tool_call_id'], called?.id)
  }
})

const bodies: [name: string, body: () => object, code: ErrorCode][] = [
  ['whose next throws', () => ({ next: () => fail('next') }), 'stream_truncated'],
  ['whose next gives nothing', () => ({ next: () => Promise.resolve(undefined) }), 'stream_truncated'],
  [
    'whose destroy throws',
    () => ({ ...bytes('data: junk\n\n'), destroy: () => fail('destroy') }),
    'malformed_response',
  ],
]
for (const [name, make, code] of bodies) {
  test(`a body of the user's own fetch ${name} ends the stream with one error`, async () => {
    const fetch = () => {
      const { destroy, ...iterator } = make() as { destroy?: () => void }
      const body = { [Symbol.asyncIterator]: () => iterator, ...(destroy ? { destroy } : {}) }
      return Promise.resolve({ ok: true, status: 200, headers: new Headers(), body })
    }
    const llm = connect({ fetch: fetch as unknown as typeof globalThis.fetch, timeouts: { idleMs: 2_000 } })
    await assert.rejects(llm.stream('Hi').response, { code })
  })
}

function fail(what: string): never {
  throw new Error(`${what} threw`)
}

function bytes(text: string): { next: () => Promise<IteratorResult<Uint8Array>> } {
  const pieces = [new TextEncoder().encode(text)]
  return {
    next: () => {
      const value = pieces.shift()
      return Promise.resolve(value ? { done: false, value } : { done: true, value: undefined })
    },
  }
}

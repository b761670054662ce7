/** OpenAI and the servers that speak its API: what goes over the wire, and the dialects. */
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { createLLM, isConvokeError } from 'convoke'
import type { LLMOptions, Message, Prompt } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator } from 'convoke/simulator'
import { afterAll, beforeAll, beforeEach, test } from 'vitest'

type Fields = Record<string, unknown>

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator()
})
afterAll(() => simulator.close())
beforeEach(() => {
  simulator.reset()
  simulator.setReply('Hello')
})

function connect(name: string, options: LLMOptions = {}) {
  return createLLM(name, {
    model: 'm',
    apiKey: 'sk-0123456789',
    baseURL: simulator.baseURL('openai'),
    ...options,
  })
}

/** The body that a call sends, and what it warns of. */
async function sent(name: string, prompt: Prompt, options: LLMOptions = {}) {
  const { warnings } = await connect(name, options).agenerate(prompt)
  return { body: simulator.requests.at(-1)?.body as Fields, warned: warnings.map(({ subject }) => subject) }
}

const conversation: Message[] = [
  { role: 'user', content: 'Time and weather?' },
  {
    role: 'assistant',
    content: [
      { type: 'reasoning', text: 'Ask both.', provider: 'openai', id: 'rs_1', signature: 'enc' },
      { type: 'text', text: 'One moment.' },
      { type: 'tool-call', id: 'c1', name: 'clock', arguments: {} },
      { type: 'tool-call', id: 'c2', name: 'weather', arguments: { city: 'Oslo' } },
    ],
  },
  {
    role: 'tool',
    content: [
      { type: 'tool-result', toolCallId: 'c1', result: '12:00' },
      { type: 'tool-result', toolCallId: 'c2', result: { degrees: 4 } },
    ],
  },
]
const tools = [
  { name: 'weather', description: 'The weather', parameters: { type: 'object', properties: {} } },
]
const media: Message = {
  role: 'user',
  content: [
    { type: 'text', text: 'Look' },
    { type: 'image', image: 'https://example.com/a.png' },
    { type: 'image', image: new Uint8Array([255, 216, 255, 224]), mediaType: 'image/jpeg' },
    { type: 'file', file: 'AAAA', mediaType: 'application/pdf', name: 'a.pdf' },
  ],
}

test('chat: a conversation with tools becomes OpenAI messages, one for each result', async () => {
  const { body } = await sent('openai', conversation, {
    system: 'Be brief.',
    tools,
    toolChoice: { name: 'weather' },
  })
  assert.deepEqual(body['messages'], [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Time and weather?' },
    {
      role: 'assistant',
      content: 'One moment.',
      tool_calls: [
        { id: 'c1', type: 'function', function: { name: 'clock', arguments: '{}' } },
        { id: 'c2', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
      ],
    },
    { role: 'tool', tool_call_id: 'c1', content: '12:00' },
    { role: 'tool', tool_call_id: 'c2', content: '{"degrees":4}' },
  ])
  assert.deepEqual(body['tools'], [{ type: 'function', function: { ...tools[0] } }])
  assert.deepEqual(body['tool_choice'], { type: 'function', function: { name: 'weather' } })
})

test('chat: pictures and files become parts; a file by URL is refused', async () => {
  const { body } = await sent('openai', media)
  assert.deepEqual((body['messages'] as Fields[])[0]?.['content'], [
    { type: 'text', text: 'Look' },
    { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
    { type: 'image_url', image_url: { url: 'data:image/jpeg;base64,/9j/4A==' } },
    { type: 'file', file: { file_data: 'data:application/pdf;base64,AAAA', filename: 'a.pdf' } },
  ])
  const sound: Message = { role: 'user', content: [{ type: 'file', file: 'AAAA', mediaType: 'audio/wav' }] }
  assert.deepEqual((await sent('openai', sound)).body['messages'], [
    { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } }] },
  ])
  const byUrl: Message = {
    role: 'user',
    content: [{ type: 'file', file: 'https://example.com/a.pdf', mediaType: 'application/pdf' }],
  }
  await assert.rejects(sent('openai', byUrl), { code: 'invalid_request', message: /Load the file/ })
})

test('chat: every option has its field, and what OpenAI lacks is told of', async () => {
  const { body, warned } = await sent('openai', 'Hi', {
    temperature: 0.5,
    maxTokens: 9,
    topP: 0.9,
    topK: 5,
    frequencyPenalty: 0.1,
    presencePenalty: 0.2,
    stop: 'END',
    seed: 7,
    reasoning: 'low',
    metadata: { team: 'a' },
    vendor: { seed: 8, logprobs: true },
  })
  const { model, messages, stream, ...rest } = body
  assert.deepEqual([model, (messages as unknown[]).length, stream], ['m', 1, false])
  assert.deepEqual(rest, {
    temperature: 0.5,
    max_completion_tokens: 9,
    top_p: 0.9,
    frequency_penalty: 0.1,
    presence_penalty: 0.2,
    stop: ['END'],
    seed: 8,
    reasoning_effort: 'low',
    logprobs: true,
  })
  assert.deepEqual(warned, ['topK', 'metadata'])
})

test('chat: dialects differ in their fields', async () => {
  const options = { maxTokens: 9, topK: 5, seed: 7, reasoning: { maxTokens: 100 } }
  const local = (await sent('vllm', 'Hi', options)).body
  assert.deepEqual([local['max_tokens'], local['top_k'], local['seed']], [9, 5, 7])
  const mistral = (await sent('mistral', 'Hi', options)).body
  assert.deepEqual([mistral['random_seed'], mistral['seed'], mistral['top_k']], [7, undefined, undefined])
  const router = (await sent('openrouter', 'Hi', options)).body
  assert.deepEqual(router['reasoning'], { max_tokens: 100 })
})

test('chat: usage of a stream is asked for, but not of a server that refuses the question', async () => {
  for (const [name, asked] of [
    ['openai', { include_usage: true }],
    ['groq', { include_usage: true }],
    ['mistral', undefined],
  ] as const) {
    await connect(name).stream('Hi').response
    assert.deepEqual((simulator.requests.at(-1)?.body as Fields)['stream_options'], asked, name)
  }
})

test('compatible servers: reasoning_content is read, and goes back to the server that gave it alone', async () => {
  simulator.setReply({ reasoning: 'Well.', text: 'Yes.' })
  const deepseek = connect('deepseek')
  const first = await deepseek.stream('Hi').response
  assert.deepEqual([first.reasoning, first.content], ['Well.', 'Yes.'])
  const history: Message[] = [
    { role: 'user', content: 'Hi' },
    first.message,
    { role: 'user', content: 'So?' },
  ]
  const { body } = await sent('deepseek', history)
  assert.deepEqual((body['messages'] as Fields[])[1], {
    role: 'assistant',
    content: 'Yes.',
    reasoning_content: 'Well.',
  })
  const other = await sent('groq', history)
  assert.deepEqual((other.body['messages'] as Fields[])[1], { role: 'assistant', content: 'Yes.' })
  assert.deepEqual(other.warned, ['reasoning'])
})

test('a stream without [DONE] is cut off where it is known to come, and whole at a server that may leave it out', async () => {
  simulator.failNext({ endAfter: 1 })
  await assert.rejects(connect('openai', { retry: { attempts: 1 } }).stream('Hi').response, {
    code: 'stream_truncated',
  })
  simulator.failNext({ endAfter: 1 })
  assert.equal((await connect('openai-compatible').stream('Hi').response).content, 'Hello')
  simulator.failNext({ endAfter: 0.5 })
  await assert.rejects(connect('openai-compatible', { retry: { attempts: 1 } }).stream('Hi').response, {
    code: 'stream_truncated',
  })
})

test('responses: a conversation becomes input items, reasoning with its id and encrypted content', async () => {
  const { body } = await sent('openai', conversation, { api: 'responses', system: 'Be brief.', tools })
  assert.equal(body['instructions'], 'Be brief.')
  assert.deepEqual(body['input'], [
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Time and weather?' }] },
    {
      type: 'reasoning',
      id: 'rs_1',
      summary: [{ type: 'summary_text', text: 'Ask both.' }],
      encrypted_content: 'enc',
    },
    { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'One moment.' }] },
    { type: 'function_call', call_id: 'c1', name: 'clock', arguments: '{}' },
    { type: 'function_call', call_id: 'c2', name: 'weather', arguments: '{"city":"Oslo"}' },
    { type: 'function_call_output', call_id: 'c1', output: '12:00' },
    { type: 'function_call_output', call_id: 'c2', output: '{"degrees":4}' },
  ])
  assert.deepEqual(body['tools'], [{ type: 'function', ...tools[0], strict: false }])
})

test('responses: what the API lacks is refused or told of', async () => {
  await assert.rejects(sent('openai', 'Hi', { api: 'responses', stop: 'END' }), {
    code: 'invalid_request',
    message: /\[openai\] The Responses API has no stop/,
  })
  const { body, warned } = await sent('openai', 'Hi', {
    api: 'responses',
    seed: 1,
    topK: 2,
    reasoning: true,
    maxTokens: 5,
  })
  assert.deepEqual(warned, ['topK', 'seed'])
  assert.deepEqual([body['max_output_tokens'], body['reasoning']], [5, { summary: 'auto' }])
})

test('refusals come apart from the text', async () => {
  simulator.setReply({ refusal: 'I cannot help with that.' })
  for (const api of ['chat', 'responses'] as const) {
    const llm = connect('openai', { api })
    for (const reply of [await llm.agenerate('Hi'), await llm.stream('Hi').response]) {
      assert.deepEqual([reply.content, reply.refusal], ['', 'I cannot help with that.'])
    }
  }
})

test('keys of a list are used in turn, and a function is asked before every request', async () => {
  const keyOf = () => simulator.requests.at(-1)?.headers['authorization']
  const list = connect('openai', { apiKey: ['key-one-1', 'key-two-2'] })
  const seen = []
  for (let at = 0; at < 3; at++) {
    await list.agenerate('Hi')
    seen.push(keyOf())
  }
  assert.deepEqual(seen, ['Bearer key-one-1', 'Bearer key-two-2', 'Bearer key-one-1'])
  let asked = 0
  const dynamic = connect('openai', { apiKey: async () => `fresh-key-${++asked}` })
  await dynamic.agenerate('Hi')
  assert.equal(keyOf(), 'Bearer fresh-key-1')
})

test("a user's own client keeps its fetch, headers and address; its retries are off", async () => {
  let fetched = 0
  const client = new OpenAI({
    apiKey: 'sk-of-the-client',
    baseURL: simulator.baseURL('openai'),
    defaultHeaders: { 'x-team': 'a' },
    maxRetries: 5,
    fetch: (input, init) => (fetched++, globalThis.fetch(input, init)),
  })
  const llm = createLLM(client, { model: 'm', headers: { 'x-call': 'b' }, retry: { attempts: 1 } })
  simulator.failNext({ status: 500 })
  await assert.rejects(llm.agenerate('Hi'), (error) => isConvokeError(error) && error.code === 'server_error')
  const { headers } = simulator.requests[0] ?? {}
  assert.deepEqual(
    [headers?.['authorization'], headers?.['x-team'], headers?.['x-call']],
    ['Bearer sk-of-the-client', 'a', 'b'],
  )
  assert.deepEqual([fetched, simulator.requests.length], [1, 1])
  assert.throws(() => createLLM(client, { apiKey: 'sk-another' }), { code: 'configuration' })
})

test("variables for OpenAI itself do not reach another vendor's server", async () => {
  process.env['OPENAI_ORG_ID'] = 'org-secret'
  try {
    await connect('groq').agenerate('Hi')
    assert.equal(simulator.requests.at(-1)?.headers['openai-organization'], undefined)
    await connect('openai').agenerate('Hi')
    assert.equal(simulator.requests.at(-1)?.headers['openai-organization'], 'org-secret')
  } finally {
    delete process.env['OPENAI_ORG_ID']
  }
})

/** The conversations that `strictMessages` accepts and refuses, in the format of every vendor. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Simulator } from '../../src/simulator/index.ts'

const CALL = {
  role: 'assistant',
  content: '',
  tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: {} } }],
}
const RESULT = { role: 'tool', tool_call_id: '1', tool_name: 'f', content: 'done' }
const USER = { role: 'user', content: 'Hi' }
const ASSISTANT = { role: 'assistant', content: 'Hello' }
const CONVERSATIONS: [name: string, messages: object[], refused: RegExp | undefined][] = [
  ['a plain one', [USER, ASSISTANT, USER], undefined],
  ['a call with its result', [USER, CALL, RESULT], undefined],
  ['a call, its result and an answer', [USER, CALL, RESULT, ASSISTANT, USER], undefined],
  ['a call, its result and the user', [USER, CALL, RESULT, USER], undefined],
  ['a call without its result', [USER, CALL], /without `tool_result`/],
  ['a call without its result, and more', [USER, CALL, USER], /without `tool_result`/],
  ['a result without its call', [USER, ASSISTANT, RESULT], /unexpected `tool_use_id`/],
  ['a result twice', [USER, CALL, RESULT, RESULT], /unexpected `tool_use_id`/],
  [
    'a result of another call',
    [USER, CALL, { ...RESULT, tool_call_id: '2', tool_name: 'g' }],
    /unexpected `tool_use_id`/,
  ],
  ['one that the assistant starts', [ASSISTANT, USER], /first message must use the "user" role/],
  ['the user twice in a row', [USER, USER], /roles must alternate/],
  ['the assistant twice in a row', [USER, ASSISTANT, ASSISTANT], /roles must alternate/],
  ['an empty message', [USER, { role: 'assistant', content: ' ' }, USER], /non-empty content/],
  ['an unknown role', [{ role: 'robot', content: 'x' }], /Unexpected role "robot"/],
]
for (const [name, messages, refused] of CONVERSATIONS) {
  test(`strict messages ${refused === undefined ? 'accept' : 'refuse'} ${name}`, async () => {
    await using simulator = await startSimulator({ strictMessages: true })
    for (const [path, body] of inEveryForm(messages)) {
      const reply = await post(simulator, path, body)
      assert.equal(reply.status, refused === undefined ? 200 : 400, `${path} ${JSON.stringify(body)}`)
      if (refused !== undefined)
        assert.match(await reply.text().then((text) => text.replaceAll('\\', '')), refused)
    }
  })
}

test('strict messages require results before the text of the same Anthropic message', async () => {
  await using simulator = await startSimulator({ strictMessages: true })
  const result = { type: 'tool_result', tool_use_id: '1', content: 'done' }
  const text = { type: 'text', text: 'And now?' }
  const status = async (content: object[]) => {
    const call = { role: 'assistant', content: [{ type: 'tool_use', id: '1', name: 'f', input: {} }] }
    return (
      await post(simulator, '/v1/messages', { model: 'm', messages: [USER, call, { role: 'user', content }] })
    ).status
  }
  assert.equal(await status([result, text]), 200)
  assert.equal(await status([text, result]), 400)
})

test('strict messages do not check the continuation of a conversation that the server keeps', async () => {
  await using simulator = await startSimulator({ strictMessages: true })
  const input = [{ type: 'function_call_output', call_id: '1', output: 'done' }]
  const body = { model: 'm', input, previous_response_id: 'resp_1' }
  assert.equal((await post(simulator, '/v1/responses', body)).status, 200)
  assert.equal((await post(simulator, '/v1/responses', { model: 'm', input })).status, 400)
})

test('without strict messages, a broken conversation is answered', async () => {
  await using simulator = await startSimulator()
  for (const [path, body] of inEveryForm([ASSISTANT, CALL])) {
    assert.equal((await post(simulator, path, body)).status, 200)
  }
})

function post(simulator: Simulator, path: string, body: unknown): Promise<Response> {
  return fetch(simulator.url + path, { method: 'POST', body: JSON.stringify(body) })
}

/** The same conversation, as the SDK of each vendor would send it. */
function inEveryForm(messages: readonly object[]): [path: string, body: unknown][] {
  const plain = messages as {
    role: string
    content: string
    tool_calls?: object[]
    tool_call_id?: string
    tool_name?: string
  }[]
  const body = { model: 'm', stream: false, messages }
  const anthropic = plain.map((message) => {
    if (message.role === 'tool') {
      const result = { type: 'tool_result', tool_use_id: message.tool_call_id, content: message.content }
      return { role: 'user', content: [result] }
    }
    if (message.tool_calls !== undefined) {
      return {
        role: 'assistant',
        content: [{ type: 'tool_use', id: '1', name: 'f', input: {} }],
      }
    }
    return message
  })
  const gemini = plain.map((message) => {
    const role = message.role === 'assistant' ? 'model' : message.role
    if (message.role === 'tool') {
      return {
        role: 'user',
        parts: [{ functionResponse: { name: message.tool_name, response: {} } }],
      }
    }
    if (message.tool_calls !== undefined) return { role, parts: [{ functionCall: { name: 'f', args: {} } }] }
    return { role, parts: [{ text: message.content }] }
  })
  const responses = plain.map((message) => {
    if (message.role === 'tool') {
      return {
        type: 'function_call_output',
        call_id: message.tool_call_id,
        output: message.content,
      }
    }
    if (message.tool_calls !== undefined)
      return {
        type: 'function_call',
        call_id: '1',
        name: 'f',
        arguments: '{}',
      }
    return message
  })
  return [
    ['/v1/chat/completions', body],
    ['/v1/messages', { model: 'm', max_tokens: 1, messages: anthropic }],
    ['/v2/chat', body],
    ['/api/chat', body],
    ['/v1/responses', { model: 'm', input: responses }],
    ['/v1beta/models/m:generateContent', { contents: gemini }],
  ]
}

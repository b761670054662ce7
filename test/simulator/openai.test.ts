/** Scripted replies as OpenAI's SDK reads them, from Chat Completions and from Responses. */
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { afterAll, beforeAll, test } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Simulator } from '../../src/simulator/index.ts'
import { CALLS, messages, model, REASONED, USED } from '../support/simulator-scripts.ts'

let simulator: Simulator
let openai: OpenAI

beforeAll(async () => {
  simulator = await startSimulator({ chunkSize: 5 })
  openai = new OpenAI({ apiKey: 'key', baseURL: simulator.baseURL('openai'), maxRetries: 0 })
})

afterAll(() => simulator.close())

test('OpenAI chat gives tool calls, whole and in deltas', async () => {
  simulator.setReply(CALLS)
  const expected = [
    ['call-1', 'weather', '{"city":"Zürich","days":[1,2]}'],
    ['call-2', 'time', '{}'],
  ]
  const { choices } = await openai.chat.completions.create({ model, messages })
  assert.equal(choices[0]?.finish_reason, 'tool_calls')
  assert.equal(choices[0].message.content, 'I will look.')
  assert.deepEqual(choices[0].message.tool_calls?.map(flatCall), expected)
  const streamed = await openai.chat.completions.stream({ model, messages }).finalChatCompletion()
  assert.deepEqual(streamed.choices[0]?.message.tool_calls?.map(flatCall), expected)
})

test('OpenAI chat gives null as the content of a reply with nothing but tool calls', async () => {
  simulator.setReply({ toolCalls: [{ name: 'time' }] })
  const { choices } = await openai.chat.completions.create({ model, messages })
  assert.equal(choices[0]?.message.content, null)
  assert.match(choices[0]?.message.tool_calls?.[0]?.id ?? '', /^call_/)
})

test('OpenAI chat sends cut-off arguments unchanged', async () => {
  simulator.setReply({ toolCalls: [{ name: 'f', arguments: '{"city":"Zü' }], finishReason: 'length' })
  let json = ''
  for await (const chunk of await openai.chat.completions.create({ model, messages, stream: true })) {
    json += chunk.choices[0]?.delta.tool_calls?.[0]?.function?.arguments ?? ''
  }
  assert.equal(json, '{"city":"Zü')
})

test('OpenAI chat gives a refusal, with null as the content', async () => {
  simulator.setReply({ refusal: 'I cannot do that.' })
  const { choices } = await openai.chat.completions.create({ model, messages })
  assert.deepEqual(
    [choices[0]?.message.refusal, choices[0]?.message.content, choices[0]?.finish_reason],
    ['I cannot do that.', null, 'stop'],
  )
  const streamed = await openai.chat.completions.stream({ model, messages }).finalChatCompletion()
  assert.equal(streamed.choices[0]?.message.refusal, 'I cannot do that.')
})

test('OpenAI chat gives reasoning in the field of compatible servers', async () => {
  simulator.setReply(REASONED)
  const { choices } = await openai.chat.completions.create({ model, messages })
  assert.equal((choices[0]?.message as { reasoning_content?: string }).reasoning_content, 'Two and two…')
  let reasoning = ''
  for await (const chunk of await openai.chat.completions.create({ model, messages, stream: true })) {
    const delta = chunk.choices[0]?.delta as { reasoning_content?: string } | undefined
    reasoning += delta?.reasoning_content ?? ''
  }
  assert.equal(reasoning, 'Two and two…')
})

test('OpenAI chat streams usage only when the request asks for it', async () => {
  simulator.setReply(USED)
  const request = { model, messages, stream: true } as const
  const without = await all(await openai.chat.completions.create(request))
  assert.ok(without.every((chunk) => !('usage' in chunk)))
  const asked = { ...request, stream_options: { include_usage: true } }
  const last = (await all(await openai.chat.completions.create(asked))).at(-1)
  assert.deepEqual(last?.choices, [])
  assert.partialDeepStrictEqual(last?.usage, {
    prompt_tokens: 100,
    completion_tokens: 50,
    total_tokens: 150,
    prompt_tokens_details: { cached_tokens: 30 },
    completion_tokens_details: { reasoning_tokens: 20 },
  })
})

test('OpenAI Responses streams the events of a full reply in order', async () => {
  simulator.setReply({ ...REASONED, toolCalls: [{ id: 'call-1', name: 'f', arguments: { a: 1 } }] })
  const events = await all(await openai.responses.create({ model, input: 'Hi', stream: true }))
  assert.deepEqual(
    [...new Set(events.map((event) => event.type))],
    [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.reasoning_summary_part.added',
      'response.reasoning_summary_text.delta',
      'response.reasoning_summary_text.done',
      'response.reasoning_summary_part.done',
      'response.output_item.done',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.completed',
    ],
  )
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, index) => index),
  )
})

test('OpenAI Responses gives the same output with and without streaming', async () => {
  simulator.setReply({ ...REASONED, ...CALLS, refusal: 'No.' })
  const whole = await openai.responses.create({ model, input: 'Hi' })
  const streamed = await openai.responses.stream({ model, input: 'Hi' }).finalResponse()
  assert.equal(whole.output_text, 'I will look.')
  assert.deepEqual(
    whole.output.map((item) => item.type),
    ['reasoning', 'message', 'function_call', 'function_call'],
  )
  const anonymous = (output: unknown) => JSON.parse(JSON.stringify(output).replaceAll(/Simulated\d+/g, ''))
  assert.partialDeepStrictEqual(anonymous(streamed.output), anonymous(whole.output))
  const [reasoning, message, call] = whole.output
  assert.ok(reasoning?.type === 'reasoning' && message?.type === 'message' && call?.type === 'function_call')
  assert.deepEqual([reasoning.summary[0]?.text, reasoning.encrypted_content], ['Two and two…', 'c2lnbmVk'])
  assert.deepEqual(message.content[1], { type: 'refusal', refusal: 'No.' })
  assert.deepEqual(
    [call.call_id, call.name, call.arguments],
    ['call-1', 'weather', '{"city":"Zürich","days":[1,2]}'],
  )
})

test('OpenAI Responses is incomplete when the length or the filter ended it', async () => {
  for (const [finishReason, reason] of [
    ['length', 'max_output_tokens'],
    ['content-filter', 'content_filter'],
  ] as const) {
    simulator.setReply({ text: 'Half a', finishReason })
    const whole = await openai.responses.create({ model, input: 'Hi' })
    assert.deepEqual([whole.status, whole.incomplete_details], ['incomplete', { reason }])
    const events = await all(await openai.responses.create({ model, input: 'Hi', stream: true }))
    assert.equal(events.at(-1)?.type, 'response.incomplete')
  }
})

test('OpenAI Responses fails with an error event and a failed response', async () => {
  simulator.setReply({ text: 'x'.repeat(50), fault: { errorAfter: 0.5, message: 'gone wrong' } })
  const reply = await fetch(`${simulator.baseURL('openai')}/responses`, {
    method: 'POST',
    body: JSON.stringify({ model, input: 'Hi', stream: true }),
  })
  const text = await reply.text()
  assert.match(text, /event: error\ndata: .*gone wrong/)
  assert.match(text, /event: response\.failed\ndata: .*"status":"failed".*gone wrong/)
})

test('OpenAI Responses counts usage', async () => {
  simulator.setReply(USED)
  const { usage } = await openai.responses.create({ model, input: 'Hi' })
  assert.partialDeepStrictEqual(usage, {
    input_tokens: 100,
    output_tokens: 50,
    total_tokens: 150,
    input_tokens_details: { cached_tokens: 30 },
    output_tokens_details: { reasoning_tokens: 20 },
  })
})

function flatCall(call: { id?: string | undefined; function?: unknown }): unknown[] {
  const { name, arguments: json } = call.function as {
    name: string
    arguments: string
  }
  return [call.id, name, json]
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of stream) items.push(item)
  return items
}

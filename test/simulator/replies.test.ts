/** Scripted replies as each vendor's SDK reads them: reasoning, refusals, tool calls, usage, finish reasons. */
import assert from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import { CohereClient, CohereClientV2 } from 'cohere-ai'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { afterAll, beforeAll, test } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import type { SimulatedFinishReason, Simulator } from '../../src/simulator/index.ts'
import { CALLS, messages, model, REASONED, USED } from '../support/simulator-scripts.ts'

let simulator: Simulator
let openai: OpenAI
let anthropic: Anthropic
let genai: GoogleGenAI
let cohere: CohereClientV2
let ollama: Ollama

beforeAll(async () => {
  simulator = await startSimulator({ chunkSize: 5 })
  openai = new OpenAI({ apiKey: 'key', baseURL: simulator.baseURL('openai'), maxRetries: 0 })
  anthropic = new Anthropic({ apiKey: 'key', baseURL: simulator.baseURL('anthropic'), maxRetries: 0 })
  genai = new GoogleGenAI({ apiKey: 'key', httpOptions: { baseUrl: simulator.baseURL('gemini') } })
  cohere = new CohereClientV2({ token: 'key', environment: simulator.baseURL('cohere'), maxRetries: 0 })
  ollama = new Ollama({ host: simulator.baseURL('ollama') })
})

afterAll(() => simulator.close())

test('Anthropic gives the same signed thinking, text and tool calls with and without streaming', async () => {
  simulator.setReply({ ...REASONED, ...CALLS })
  const request = { model, max_tokens: 100, messages }
  const expected = [
    { type: 'thinking', thinking: 'Two and two…', signature: 'c2lnbmVk' },
    { type: 'text', text: 'I will look.' },
    {
      type: 'tool_use',
      id: 'call-1',
      name: 'weather',
      input: { city: 'Zürich', days: [1, 2] },
    },
    { type: 'tool_use', id: 'call-2', name: 'time', input: {} },
  ]
  const whole = await anthropic.messages.create(request)
  assert.deepEqual(whole.content, expected)
  assert.equal(whole.stop_reason, 'tool_use')
  const streamed = await anthropic.messages.stream(request).finalMessage()
  assert.partialDeepStrictEqual(streamed.content, expected)
  assert.equal(streamed.stop_reason, 'tool_use')
})

test('Anthropic signs thinking even if the script does not', async () => {
  simulator.setReply({ text: 'Four.', reasoning: 'Hm.' })
  const { content } = await anthropic.messages.create({ model, max_tokens: 100, messages })
  assert.ok(content[0]?.type === 'thinking' && content[0].signature.length > 10)
})

test('Anthropic counts cached tokens separately from the input', async () => {
  simulator.setReply(USED)
  const expected = { input_tokens: 70, cache_read_input_tokens: 30, output_tokens: 50 }
  const request = { model, max_tokens: 100, messages }
  assert.partialDeepStrictEqual((await anthropic.messages.create(request)).usage, expected)
  assert.partialDeepStrictEqual((await anthropic.messages.stream(request).finalMessage()).usage, expected)
})

test('Anthropic counts tokens of a prompt', async () => {
  const { input_tokens } = await anthropic.messages.countTokens({ model, messages, system: 'x'.repeat(38) })
  assert.equal(input_tokens, 10)
})

test('Gemini gives the same thoughts, signature and function calls with and without streaming', async () => {
  simulator.setReply({ ...REASONED, ...CALLS })
  const calls = [
    { name: 'weather', args: { city: 'Zürich', days: [1, 2] }, id: 'call-1' },
    { name: 'time', args: {}, id: 'call-2' },
  ]
  const whole = await genai.models.generateContent({ model, contents: 'Hi' })
  assert.equal(whole.text, 'I will look.')
  assert.deepEqual(whole.functionCalls, calls)
  const parts = whole.candidates?.[0]?.content?.parts ?? []
  assert.deepEqual([parts[0]?.thought, parts[0]?.text], [true, 'Two and two…'])
  assert.deepEqual(
    parts.map((part) => part.thoughtSignature),
    [undefined, undefined, 'c2lnbmVk', undefined],
  )
  const chunks = await all(await genai.models.generateContentStream({ model, contents: 'Hi' }))
  const streamed = chunks.flatMap((chunk) => chunk.candidates?.[0]?.content?.parts ?? [])
  assert.equal(
    streamed
      .filter((part) => part.thought)
      .map((part) => part.text)
      .join(''),
    'Two and two…',
  )
  assert.deepEqual(
    chunks.flatMap((chunk) => chunk.functionCalls ?? []),
    calls,
  )
  assert.equal(chunks.at(-1)?.candidates?.[0]?.finishReason, 'STOP')
})

test('Gemini signs the text when there is no call', async () => {
  simulator.setReply(REASONED)
  const whole = await genai.models.generateContent({ model, contents: 'Hi' })
  assert.equal(whole.candidates?.[0]?.content?.parts?.at(-1)?.thoughtSignature, 'c2lnbmVk')
  const chunks = await all(await genai.models.generateContentStream({ model, contents: 'Hi' }))
  const last = chunks.at(-1)?.candidates?.[0]?.content?.parts?.[0]
  assert.deepEqual([last?.text, last?.thoughtSignature], ['', 'c2lnbmVk'])
})

test('Gemini cannot send cut-off arguments, and says so', async () => {
  simulator.setReply({ toolCalls: [{ name: 'f', arguments: '{"city":"Zü' }] })
  const { candidates, functionCalls } = await genai.models.generateContent({ model, contents: 'Hi' })
  assert.equal(candidates?.[0]?.finishReason, 'MALFORMED_FUNCTION_CALL')
  assert.equal(functionCalls, undefined)
})

test('Gemini counts thoughts separately from the candidates', async () => {
  simulator.setReply(USED)
  const expected = {
    promptTokenCount: 100,
    candidatesTokenCount: 30,
    thoughtsTokenCount: 20,
    totalTokenCount: 150,
    cachedContentTokenCount: 30,
  }
  const whole = await genai.models.generateContent({ model, contents: 'Hi' })
  assert.partialDeepStrictEqual(whole.usageMetadata, expected)
  const chunks = await all(await genai.models.generateContentStream({ model, contents: 'Hi' }))
  assert.partialDeepStrictEqual(chunks.at(-1)?.usageMetadata, expected)
})

test('Gemini counts tokens of a prompt', async () => {
  const { totalTokens } = await genai.models.countTokens({ model, contents: 'x'.repeat(40) })
  assert.equal(totalTokens, 10)
})

test('OpenAI counts tokens of a prompt', async () => {
  const count = await openai.responses.inputTokens.count({ model, instructions: 'x'.repeat(38), input: 'Hi' })
  assert.partialDeepStrictEqual(count, { object: 'response.input_tokens', input_tokens: 10 })
})

test('Cohere tokenizes a text of 65 536 characters at most', async () => {
  const client = new CohereClient({ token: 'key', environment: simulator.baseURL('cohere'), maxRetries: 0 })
  const text = 'tokenize me! 👩🔥'
  const { tokens, tokenStrings, meta } = await client.tokenize({ model, text })
  assert.equal(tokenStrings.join(''), text)
  assert.deepEqual(
    tokens.map((token) => Number.isInteger(token)),
    tokenStrings.map(() => true),
  )
  assert.equal(meta?.apiVersion?.version, '1')
  assert.equal((await client.tokenize({ model, text: 'x'.repeat(65_536) })).tokens.length, 16_384)
  await assert.rejects(client.tokenize({ model, text: 'x'.repeat(65_537) }), { statusCode: 400 })
})

test('Gemini streams one JSON array when the request does not ask for an event stream', async () => {
  simulator.setReply('Hello, world')
  const url = `${simulator.url}/v1beta/models/${model}:streamGenerateContent?key=key`
  const reply = await fetch(url, { method: 'POST', body: JSON.stringify({ contents: [] }) })
  const chunks = (await reply.json()) as {
    candidates: { content: { parts: { text: string }[] } }[]
  }[]
  const text = chunks.map((chunk) => chunk.candidates[0]?.content.parts[0]?.text).join('')
  assert.equal(text, 'Hello, world')
})

test('Cohere gives thinking before the text, the same with and without streaming', async () => {
  simulator.setReply(REASONED)
  const { message } = await cohere.chat({ model, messages })
  assert.deepEqual(message.content, [
    { type: 'thinking', thinking: 'Two and two…' },
    { type: 'text', text: 'Four.' },
  ])
  const events = await all(await cohere.chatStream({ model, messages }))
  const contents = events.flatMap((event) =>
    event.type === 'content-delta' ? [event.delta?.message?.content] : [],
  )
  assert.equal(contents.map((content) => content?.thinking ?? '').join(''), 'Two and two…')
  assert.equal(contents.map((content) => content?.text ?? '').join(''), 'Four.')
})

test('Cohere gives the text before tool calls as a plan', async () => {
  simulator.setReply(CALLS)
  const whole = await cohere.chat({ model, messages })
  assert.equal(whole.message.toolPlan, 'I will look.')
  assert.deepEqual(whole.message.toolCalls?.map(flatCall), [
    ['call-1', 'weather', '{"city":"Zürich","days":[1,2]}'],
    ['call-2', 'time', '{}'],
  ])
  assert.equal(whole.finishReason, 'TOOL_CALL')
  const events = await all(await cohere.chatStream({ model, messages }))
  assert.deepEqual(
    [...new Set(events.map((event) => event.type))],
    [
      'message-start',
      'tool-plan-delta',
      'tool-call-start',
      'tool-call-delta',
      'tool-call-end',
      'message-end',
    ],
  )
  const deltas = events.map((event) =>
    event.type === 'tool-call-delta' ? event.delta?.message?.toolCalls?.function?.arguments : '',
  )
  assert.equal(deltas.join(''), '{"city":"Zürich","days":[1,2]}')
})

test('Cohere counts billed units and tokens', async () => {
  simulator.setReply(USED)
  const { usage } = await cohere.chat({ model, messages })
  assert.deepEqual(usage?.tokens, { inputTokens: 100, outputTokens: 50 })
  assert.equal(usage?.cachedTokens, 30)
})

const FINISH: [SimulatedFinishReason, Record<string, string>][] = [
  [
    'stop',
    {
      openai: 'stop',
      anthropic: 'end_turn',
      gemini: 'STOP',
      cohere: 'COMPLETE',
      ollama: 'stop',
    },
  ],
  [
    'length',
    {
      openai: 'length',
      anthropic: 'max_tokens',
      gemini: 'MAX_TOKENS',
      cohere: 'MAX_TOKENS',
      ollama: 'length',
    },
  ],
  [
    'tool-calls',
    {
      openai: 'tool_calls',
      anthropic: 'tool_use',
      gemini: 'STOP',
      cohere: 'TOOL_CALL',
      ollama: 'stop',
    },
  ],
  [
    'content-filter',
    {
      openai: 'content_filter',
      anthropic: 'refusal',
      gemini: 'SAFETY',
      cohere: 'ERROR',
      ollama: 'stop',
    },
  ],
]
for (const [finishReason, words] of FINISH) {
  test(`the finish reason ${finishReason} becomes every vendor's own word`, async () => {
    simulator.setReply({ text: 'Four.', finishReason })
    const chat = await openai.chat.completions.create({ model, messages })
    const contents = await genai.models.generateContent({ model, contents: 'Hi' })
    assert.deepEqual(
      {
        openai: chat.choices[0]?.finish_reason,
        anthropic: (await anthropic.messages.create({ model, max_tokens: 100, messages })).stop_reason,
        gemini: contents.candidates?.[0]?.finishReason,
        cohere: (await cohere.chat({ model, messages })).finishReason,
        ollama: (await ollama.chat({ model, messages })).done_reason,
      },
      words,
    )
  })
}

test('a script may set the id and the model of a reply', async () => {
  simulator.setReply({ text: 'Hi', id: 'my-id', model: 'model-2' })
  const chat = await openai.chat.completions.create({ model, messages })
  assert.deepEqual([chat.id, chat.model], ['my-id', 'model-2'])
  const message = await anthropic.messages.create({ model, max_tokens: 100, messages })
  assert.deepEqual([message.id, message.model], ['my-id', 'model-2'])
  const content = await genai.models.generateContent({ model, contents: 'Hi' })
  assert.deepEqual([content.responseId, content.modelVersion], ['my-id', 'model-2'])
  assert.equal((await cohere.chat({ model, messages })).id, 'my-id')
  assert.equal((await ollama.chat({ model, messages })).model, 'model-2')
})

test('a single model can be requested by its name', async () => {
  assert.equal((await openai.models.retrieve('ft:gpt-4o:org::7')).id, 'ft:gpt-4o:org::7')
  assert.equal((await anthropic.models.retrieve('claude-x')).id, 'claude-x')
  assert.equal((await genai.models.get({ model: 'gemini-x' })).name, 'models/gemini-x')
  assert.equal((await cohere.models.get('command-x')).name, 'command-x')
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

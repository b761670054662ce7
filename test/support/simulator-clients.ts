/** The vendors' own SDKs behind one interface, for tests of the simulator that are the same for all of them. */
import assert from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import { GoogleGenerativeAI } from '@google/generative-ai'
import { CohereClientV2 } from 'cohere-ai'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Simulator, SimulatorOptions } from '../../src/simulator/index.ts'

/** One vendor SDK, reduced to what these tests need. */
export interface Client {
  name: string
  ask(prompt: string): Promise<string>
  stream(prompt: string): AsyncIterable<string>
  models(): Promise<(string | undefined)[]>
}

export const MODEL = 'model-1'

export const CLIENTS: Record<string, (simulator: Simulator, apiKey?: string) => Client> = {
  openai: openaiClient,
  responses: responsesClient,
  anthropic: anthropicClient,
  gemini: geminiClient,
  genai: genaiClient,
  cohere: cohereClient,
  ollama: ollamaClient,
}

export async function withEach(
  options: SimulatorOptions,
  check: (client: Client, simulator: Simulator) => Promise<void>,
  apiKey?: string,
): Promise<void> {
  for (const create of Object.values(CLIENTS)) {
    await using simulator = await startSimulator(options)
    await check(create(simulator, apiKey), simulator)
  }
}

export async function collect(stream: AsyncIterable<string>, into: string[] = []): Promise<string[]> {
  for await (const piece of stream) into.push(piece)
  return into
}

export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  assert.fail('did not reject')
}

export function statusOf(error: unknown): unknown {
  const fields = error as {
    status?: unknown
    statusCode?: unknown
    status_code?: unknown
  }
  return fields.status ?? fields.statusCode ?? fields.status_code
}

export function outcomes(simulator: Simulator): string[] {
  return simulator.requests.map((record) => record.outcome)
}

function openaiClient(simulator: Simulator, apiKey = 'key'): Client {
  const client = new OpenAI({ apiKey, baseURL: simulator.baseURL('openai'), maxRetries: 0 })
  const request = (content: string) => ({ model: MODEL, messages: [{ role: 'user' as const, content }] })
  return {
    name: 'openai',
    ask: async (prompt) =>
      (await client.chat.completions.create(request(prompt))).choices[0]?.message.content ?? '',
    async *stream(prompt) {
      const stream = await client.chat.completions.create({ ...request(prompt), stream: true })
      for await (const chunk of stream) yield chunk.choices[0]?.delta.content ?? ''
    },
    models: async () => (await client.models.list()).data.map((model) => model.id),
  }
}

function responsesClient(simulator: Simulator, apiKey = 'key'): Client {
  const client = new OpenAI({ apiKey, baseURL: simulator.baseURL('openai'), maxRetries: 0 })
  return {
    ...openaiClient(simulator, apiKey),
    name: 'responses',
    ask: async (input) => (await client.responses.create({ model: MODEL, input })).output_text,
    async *stream(input) {
      for await (const event of await client.responses.create({ model: MODEL, input, stream: true })) {
        if (event.type === 'response.output_text.delta') yield event.delta
      }
    },
  }
}

function anthropicClient(simulator: Simulator, apiKey = 'key'): Client {
  const client = new Anthropic({ apiKey, baseURL: simulator.baseURL('anthropic'), maxRetries: 0 })
  const request = (content: string) => ({
    model: MODEL,
    max_tokens: 100,
    messages: [{ role: 'user' as const, content }],
  })
  return {
    name: 'anthropic',
    ask: async (prompt) => {
      const message = await client.messages.create(request(prompt))
      return message.content.map((block) => (block.type === 'text' ? block.text : '')).join('')
    },
    async *stream(prompt) {
      for await (const event of await client.messages.create({ ...request(prompt), stream: true })) {
        if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') yield event.delta.text
      }
    },
    models: async () => (await client.models.list()).data.map((model) => model.id),
  }
}

function geminiClient(simulator: Simulator, apiKey = 'key'): Client {
  const model = new GoogleGenerativeAI(apiKey).getGenerativeModel(
    { model: MODEL },
    { baseUrl: simulator.baseURL('gemini') },
  )
  return {
    name: 'gemini',
    ask: async (prompt) => (await model.generateContent(prompt)).response.text(),
    async *stream(prompt) {
      const { stream, response } = await model.generateContentStream(prompt)
      response.catch(() => undefined) // this promise fails with the stream, and would be unhandled
      for await (const chunk of stream) yield chunk.text()
    },
    models: async () => ['one', 'two'],
  }
}

function genaiClient(simulator: Simulator, apiKey = 'key'): Client {
  const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: simulator.baseURL('google') } })
  return {
    name: 'genai',
    ask: async (contents) => (await client.models.generateContent({ model: MODEL, contents })).text ?? '',
    async *stream(contents) {
      for await (const chunk of await client.models.generateContentStream({ model: MODEL, contents })) {
        yield chunk.text ?? ''
      }
    },
    models: async () => (await collectPager(await client.models.list())).map((model) => model.name),
  }
}

async function collectPager<T>(pager: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of pager) all.push(item)
  return all
}

function cohereClient(simulator: Simulator, token = 'key'): Client {
  const client = new CohereClientV2({
    token,
    environment: simulator.baseURL('cohere'),
    maxRetries: 0,
    timeoutInSeconds: 1, // its timer outlives a failed connection, and keeps the process alive
  })
  const request = (content: string) => ({ model: MODEL, messages: [{ role: 'user' as const, content }] })
  return {
    name: 'cohere',
    ask: async (prompt) => {
      const { message } = await client.chat(request(prompt))
      return message.content?.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? ''
    },
    async *stream(prompt) {
      for await (const event of await client.chatStream(request(prompt))) {
        if (event.type === 'content-delta') yield event.delta?.message?.content?.text ?? ''
        if (event.type === 'message-end' && event.delta?.error !== undefined)
          throw new Error(event.delta.error)
      }
    },
    models: async () => (await client.models.list()).models.map((model) => model.name),
  }
}

function ollamaClient(simulator: Simulator, apiKey = 'key'): Client {
  const headers = { authorization: `Bearer ${apiKey}` }
  const client = new Ollama({ host: simulator.baseURL('ollama'), headers })
  const request = (content: string) => ({ model: MODEL, messages: [{ role: 'user', content }] })
  return {
    name: 'ollama',
    ask: async (prompt) => (await client.chat(request(prompt))).message.content,
    async *stream(prompt) {
      for await (const part of await client.chat({ ...request(prompt), stream: true })) {
        yield part.message.content
      }
    },
    models: async () => (await client.list()).models.map((model) => model.name),
  }
}

/** The vendors' own SDKs, used as in their documentation, without retries. */
import { registerHooks } from 'node:module'
import { models } from '../scenarios.ts'
import type { CreateSubject } from './subject.ts'

// The copies that convoke wraps, because the peers install other versions into this folder.
const root = new URL('../../../package.json', import.meta.url).href
registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier, context.parentURL === import.meta.url ? { ...context, parentURL: root } : context),
})

const apiKey = 'key'
const messages = (content: string) => [{ role: 'user' as const, content }]

const openai: CreateSubject = async (baseURL) => {
  const model = models.openai
  const { OpenAI } = await import('openai')
  const client = new OpenAI({ apiKey, baseURL, maxRetries: 0 })
  return {
    ask: async (prompt) => {
      const { choices } = await client.chat.completions.create({ model, messages: messages(prompt) })
      return choices[0]?.message.content ?? ''
    },
    stream: async (prompt, onText) => {
      const request = { model, messages: messages(prompt), stream: true as const }
      for await (const chunk of await client.chat.completions.create(request))
        onText(chunk.choices[0]?.delta.content ?? '')
    },
  }
}

const anthropic: CreateSubject = async (baseURL) => {
  const model = models.anthropic
  const { Anthropic } = await import('@anthropic-ai/sdk')
  const client = new Anthropic({ apiKey, baseURL, maxRetries: 0 })
  const request = (prompt: string) => ({ model, max_tokens: 4_096, messages: messages(prompt) })
  return {
    ask: async (prompt) => {
      const { content } = await client.messages.create(request(prompt))
      return content.map((block) => (block.type === 'text' ? block.text : '')).join('')
    },
    stream: async (prompt, onText) => {
      for await (const event of await client.messages.create({ ...request(prompt), stream: true }))
        if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
          onText(event.delta.text)
    },
  }
}

const gemini: CreateSubject = async (baseUrl) => {
  const model = models.gemini
  const { GoogleGenerativeAI } = await import('@google/generative-ai')
  const client = new GoogleGenerativeAI(apiKey).getGenerativeModel({ model }, { baseUrl })
  return {
    ask: async (prompt) => (await client.generateContent(prompt)).response.text(),
    stream: async (prompt, onText) => {
      const { stream, response } = await client.generateContentStream(prompt)
      response.catch(() => undefined) // this promise fails with the stream, and would be unhandled
      for await (const chunk of stream) onText(chunk.text())
    },
  }
}

const cohere: CreateSubject = async (environment) => {
  const model = models.cohere
  const { CohereClientV2 } = await import('cohere-ai')
  const client = new CohereClientV2({ token: apiKey, environment, maxRetries: 0 })
  return {
    ask: async (prompt) => {
      const { message } = await client.chat({ model, messages: messages(prompt) })
      return message.content?.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? ''
    },
    stream: async (prompt, onText) => {
      for await (const event of await client.chatStream({ model, messages: messages(prompt) }))
        if (event.type === 'content-delta') onText(event.delta?.message?.content?.text ?? '')
    },
  }
}

const ollama: CreateSubject = async (host) => {
  const model = models.ollama
  const { Ollama } = await import('ollama')
  const client = new Ollama({ host })
  return {
    ask: async (prompt) => (await client.chat({ model, messages: messages(prompt) })).message.content,
    stream: async (prompt, onText) => {
      for await (const part of await client.chat({ model, messages: messages(prompt), stream: true }))
        onText(part.message.content)
    },
  }
}

export const subjects = { openai, anthropic, gemini, cohere, ollama }

/** LangChain.js, without retries. Its types are declared here, because the peers are not always installed. */
import { models } from '../scenarios.ts'
import type { Vendor } from '../scenarios.ts'
import type { CreateSubject, Subject } from './subject.ts'

interface ChatModel {
  invoke(prompt: string): Promise<{ text: string }>
  stream(prompt: string): Promise<AsyncIterable<{ text: string }>>
}

type ChatModelClass = new (options: Record<string, unknown>) => ChatModel

export const subjects: Record<string, CreateSubject> = {
  openai: (baseURL) =>
    createSubject('openai', '@langchain/openai', 'ChatOpenAI', { configuration: { baseURL } }),
  anthropic: (anthropicApiUrl) =>
    createSubject('anthropic', '@langchain/anthropic', 'ChatAnthropic', { anthropicApiUrl }),
  gemini: (baseUrl) =>
    createSubject('gemini', '@langchain/google-genai', 'ChatGoogleGenerativeAI', { baseUrl }),
  ollama: (baseUrl) => createSubject('ollama', '@langchain/ollama', 'ChatOllama', { baseUrl }),
}

async function createSubject(
  vendor: Vendor,
  name: string,
  className: string,
  options: Record<string, unknown>,
): Promise<Subject> {
  const module = (await import(name)) as Record<string, ChatModelClass>
  const ChatModel = module[className]
  if (ChatModel === undefined) throw new Error(`${name} has no ${className}`)
  const chat = new ChatModel({ model: models[vendor], apiKey: 'key', maxRetries: 0, ...options })
  return {
    ask: async (prompt) => (await chat.invoke(prompt)).text,
    stream: async (prompt, onText) => {
      for await (const { text } of await chat.stream(prompt)) onText(text)
    },
  }
}

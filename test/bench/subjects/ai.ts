/** The Vercel AI SDK, without retries. Its types are declared here, because the peers are not always installed. */
import { models } from '../scenarios.ts'
import type { Vendor } from '../scenarios.ts'
import type { CreateSubject, Subject } from './subject.ts'

type LanguageModel = object
type CreateModel = (model: string) => LanguageModel

interface Request {
  model: LanguageModel
  prompt: string
  maxRetries: number
}

interface Ai {
  generateText(request: Request): Promise<{ text: string }>
  streamText(request: Request): { textStream: AsyncIterable<string> }
}

type CreateProvider = (options: { apiKey?: string; baseURL: string }) => CreateModel & { chat: CreateModel }

/** The package, its export, and the path that it expects at the end of the base URL. */
const providers: Record<Vendor, [name: string, create: string, path: string]> = {
  openai: ['@ai-sdk/openai', 'createOpenAI', ''],
  anthropic: ['@ai-sdk/anthropic', 'createAnthropic', '/v1'],
  gemini: ['@ai-sdk/google', 'createGoogle', '/v1beta'],
  cohere: ['@ai-sdk/cohere', 'createCohere', '/v2'],
  // The more popular one of the two community providers.
  ollama: ['ollama-ai-provider-v2', 'createOllama', '/api'],
}

export const subjects = Object.fromEntries(
  Object.entries(providers).map(([vendor, provider]): [string, CreateSubject] => [
    vendor,
    (baseURL) => createSubject(vendor as Vendor, provider, baseURL),
  ]),
)

async function createSubject(
  vendor: Vendor,
  [name, create, path]: [name: string, create: string, path: string],
  baseURL: string,
): Promise<Subject> {
  const packageName: string = 'ai'
  const { generateText, streamText } = (await import(packageName)) as Ai
  const module = (await import(name)) as Record<string, CreateProvider>
  const provider = module[create]?.({ apiKey: 'key', baseURL: baseURL + path })
  if (provider === undefined) throw new Error(`${name} has no ${create}`)
  // OpenAI's provider uses the Responses API by default.
  const languageModel = vendor === 'openai' ? provider.chat(models.openai) : provider(models[vendor])
  return {
    ask: async (prompt) => (await generateText({ model: languageModel, prompt, maxRetries: 0 })).text,
    stream: async (prompt, onText) => {
      const { textStream } = streamText({ model: languageModel, prompt, maxRetries: 0 })
      for await (const text of textStream) onText(text)
    },
  }
}

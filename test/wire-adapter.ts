/**
 * Serves recorded vendor responses through the library, for the checker that holds them against what a correct client
 * reports. The recordings count usage in the vendor's own words; the library counts the same way for all of them, so
 * what it moved is moved back here.
 */
import { createLLM } from 'convoke'
import type { GenerateResponse, LLMOptions } from 'convoke'

interface Recorded {
  api: string
  flavor: string
  streaming: boolean
}

interface Reported {
  text: string
  reasoning: string
  refusal: string
  toolCalls: { id: string; name: string; arguments: unknown }[]
  usage: { input: number; output: number }
  rawFinish: string | undefined
}

/** Presets that have recordings of their own; other compatible servers are `openai-compatible`. */
const flavors: Readonly<Record<string, string>> = {
  openai: 'openai',
  azure: 'openai',
  deepseek: 'deepseek',
  groq: 'groq',
  mistral: 'mistral',
  xai: 'xai',
}

export default async function report(recorded: Recorded, baseURL: string): Promise<Reported> {
  const { provider, options } = connection(recorded, baseURL)
  const llm = createLLM(provider, {
    model: 'recorded',
    apiKey: 'recorded-key',
    // One recording begins its message anew: only a reader that takes resets can follow it.
    retry: { attempts: 1, replay: 'restart' },
    // The in-memory modes answer through the global fetch alone.
    ...(new URL(baseURL).host === 'replay.mem' ? { fetch: globalThis.fetch } : {}),
    ...options,
  })
  const prompt = 'Hello'
  const reply = recorded.streaming ? await llm.stream(prompt).response : await llm.agenerate(prompt)
  return {
    text: reply.content,
    reasoning: reply.reasoning ?? '',
    refusal: reply.refusal ?? '',
    // JSON's null stands for no arguments.
    toolCalls: reply.toolCalls.map(({ id, name, arguments: input }) => ({
      id,
      name,
      arguments: input ?? undefined,
    })),
    usage: vendorUsage(recorded, reply),
    rawFinish: rawFinish(recorded, reply),
  }
}

function connection({ api, flavor }: Recorded, baseURL: string): { provider: string; options: LLMOptions } {
  const [vendor = '', name] = api.split('.')
  switch (vendor) {
    case 'openai': {
      const provider = name === 'responses' ? 'openai' : (flavors[flavor] ?? 'openai-compatible')
      const kind = name === 'responses' ? ({ api: 'responses' } as const) : {}
      return { provider, options: { baseURL: `${baseURL}/v1`, ...kind } }
    }
    case 'ollama':
      // `raw` is a field of /api/generate alone, and makes the provider ask there.
      return {
        provider: vendor,
        options: { baseURL, ...(name === 'generate' ? { vendor: { raw: false } } : {}) },
      }
    default:
      return { provider: vendor, options: { baseURL } }
  }
}

function vendorUsage({ api, flavor }: Recorded, { usage, raw }: GenerateResponse): Reported['usage'] {
  const {
    inputTokens,
    outputTokens,
    cachedInputTokens = 0,
    cacheWriteInputTokens = 0,
    reasoningTokens = 0,
  } = usage
  if (api.startsWith('anthropic')) {
    return { input: inputTokens - cachedInputTokens - cacheWriteInputTokens, output: outputTokens }
  }
  if (api.startsWith('gemini')) {
    const metadata = (raw as { usageMetadata?: { toolUsePromptTokenCount?: number } }).usageMetadata
    return {
      input: inputTokens - (metadata?.toolUsePromptTokenCount ?? 0),
      output: outputTokens - reasoningTokens,
    }
  }
  const isBeside = api === 'openai.chat' && flavor === 'xai'
  return { input: inputTokens, output: isBeside ? outputTokens - reasoningTokens : outputTokens }
}

/** The Responses API ends by a status; the library tells the reason of an incomplete one instead. */
function rawFinish({ api }: Recorded, reply: GenerateResponse): string | undefined {
  return api === 'openai.responses' && reply.rawFinishReason !== 'completed'
    ? undefined
    : reply.rawFinishReason
}

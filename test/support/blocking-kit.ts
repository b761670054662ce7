/** An LLM and its models for the tests of blocking calls. */
import { createLLM } from 'convoke'
import type { LLM, LLMOptions } from 'convoke'
import type { RemoteSimulator } from './simulator-thread.ts'

export { rejected, thrown } from './errors-kit.ts'

const models = {
  openai: 'gpt-4o-mini',
  anthropic: 'claude-haiku-4-5',
  gemini: 'gemini-2.5-flash',
  cohere: 'command-a-03-2025',
  ollama: 'llama3.2',
}
export type Vendor = keyof typeof models
export const vendors = Object.keys(models) as Vendor[]

export function blockingLLM(simulator: RemoteSimulator, vendor: Vendor, options: LLMOptions = {}): LLM {
  const address = { apiKey: 'sk-secret-key-1234567890', baseURL: simulator.baseURL(vendor) }
  return createLLM(vendor, { ...address, model: models[vendor], retry: { attempts: 1 }, ...options })
}

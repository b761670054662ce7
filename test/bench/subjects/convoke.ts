/** convoke with its default policies, except for retries and the limit of concurrent calls. */
import { importConvoke } from '../built.ts'
import { models, vendors } from '../scenarios.ts'
import type { Vendor } from '../scenarios.ts'
import type { CreateSubject, Subject } from './subject.ts'

export const subjects = Object.fromEntries(
  vendors.map((vendor): [Vendor, CreateSubject] => [vendor, (baseURL) => createSubject(vendor, baseURL)]),
)

async function createSubject(vendor: Vendor, baseURL: string): Promise<Subject> {
  const { createLLM } = await importConvoke()
  const llm = createLLM(vendor, {
    apiKey: 'key',
    baseURL,
    model: models[vendor],
    maxConcurrent: Infinity,
    maxQueue: Infinity,
    retry: { attempts: 1 },
  })
  return {
    ask: async (prompt) => (await llm.agenerate(prompt)).content,
    stream: async (prompt, onText) => {
      for await (const chunk of llm.stream(prompt)) onText(chunk.content)
    },
  }
}

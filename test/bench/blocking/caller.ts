/** The five callers. Each loads its modules when it is created, so the time of the first call includes them. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { importConvoke } from '../built.ts'
import { models } from '../scenarios.ts'
import type { Vendor } from '../scenarios.ts'
import type { BlockingTask, CallerName } from './loads.ts'

/** A caller. Blocking callers return the text itself instead of a promise, so that nothing is awaited. */
export interface Caller {
  ask(prompt: string): string | Promise<string>
  /**
   * Takes a callback instead of returning an iterator, because an iterator's cost for each chunk would be measured too.
   */
  stream?(prompt: string, onText: (text: string) => void): void | Promise<void>
}

type CreateCaller = (vendor: Vendor, baseURL: string) => Promise<Caller>

/** Declared here, because the peers are not always installed. */
interface Synckit {
  createSyncFn(file: URL): (baseURL: string, model: string, prompt: string) => string
}

interface OpenAiSdk {
  createCaller(baseURL: string, model: string): Caller
}

const file = (name: string) => new URL(name, import.meta.url)

const create: Record<CallerName, CreateCaller> = {
  blocking: async (vendor, baseURL) => {
    const llm = await createLlm(vendor, baseURL)
    return {
      ask: (prompt) => llm.generate(prompt).content,
      stream: (prompt, onText) => {
        for (const { content } of llm.generate(prompt, { stream: true })) onText(content)
      },
    }
  },
  awaited: async (vendor, baseURL) => {
    const llm = await createLlm(vendor, baseURL)
    return {
      ask: async (prompt) => (await llm.agenerate(prompt)).content,
      stream: async (prompt, onText) => {
        for await (const { content } of llm.stream(prompt)) onText(content)
      },
    }
  },
  bare: async (vendor, baseURL) => {
    const { createCaller } = (await import(file('openai-sdk.mjs').href)) as OpenAiSdk
    return createCaller(baseURL, models[vendor])
  },
  synckit: async (vendor, baseURL) => {
    const { createSyncFn } = (await import('synckit' as string)) as Synckit
    const ask = createSyncFn(file('synckit-worker.mjs'))
    return { ask: (prompt) => ask(baseURL, models[vendor], prompt) }
  },
  spawn: (vendor, baseURL) => {
    const script = fileURLToPath(file('one-call.mjs'))
    const ask = (prompt: string) => {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [script, baseURL, models[vendor], prompt],
        { encoding: 'utf8' },
      )
      if (status !== 0) throw new Error(stderr)
      return stdout
    }
    return Promise.resolve({ ask })
  },
}

export function createCaller({ caller, vendor, baseURL }: BlockingTask): Promise<Caller> {
  return create[caller](vendor, baseURL)
}

/** convoke with its default policies, except for retries and the limit of concurrent calls. */
async function createLlm(vendor: Vendor, baseURL: string) {
  const { createLLM } = await importConvoke()
  const limits = { maxConcurrent: Infinity, maxQueue: Infinity, retry: { attempts: 1 } }
  return createLLM(vendor, { apiKey: 'key', baseURL, model: models[vendor], ...limits })
}

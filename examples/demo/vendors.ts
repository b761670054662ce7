/** The LLMs of the demo: five simulated ones, or the real vendors whose keys are set. */
import { createLLM } from 'convoke'
import type { LLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator } from 'convoke/simulator'

export interface Vendors {
  llms: LLM[]
  /** Absent when the real vendors are asked. */
  simulator?: Simulator
  /** The vendors in words, for the title. */
  description: string
}

export const models = {
  openai: 'gpt-4o-mini',
  anthropic: 'claude-haiku-4-5',
  gemini: 'gemini-2.5-flash',
  cohere: 'command-a-03-2025',
  ollama: 'llama3.2',
}

const answers: Record<string, string> = {
  openai: 'Yes, 97 is prime: neither 2, 3, 5 nor 7 divides it, and 11 × 11 is already past it.',
  anthropic: 'It is. The only candidates are the primes up to 9, and 97 leaves a remainder by each of them.',
  gemini: '97 is a prime number. 97 mod 2 = 1, mod 3 = 1, mod 5 = 2, mod 7 = 6.',
  cohere: 'Yes. 97 has no divisors other than 1 and itself.',
  ollama: 'Let me see … 2 no, 3 no, 5 no, 7 no. So 97 is prime.',
}

/** Starts the simulator, which answers differently for each vendor, and at a different pace. */
export async function simulated(): Promise<Vendors> {
  const pace: Record<string, [latencyMs: number, paceMs: number]> = {
    openai: [180, 35],
    anthropic: [260, 30],
    gemini: [140, 45],
    cohere: [320, 25],
    ollama: [420, 60],
  }
  const simulator = await startSimulator({
    reply: ({ provider, prompt }) => {
      const [latencyMs, paceMs] = pace[provider] ?? [0, 0]
      const text = prompt.includes('97') ? (answers[provider] ?? '') : story
      return { text, latencyMs, paceMs }
    },
  })
  const llms = Object.entries(models).map(([name, model]) =>
    createLLM(name, { model, apiKey: 'simulated', baseURL: simulator.baseURL(name) }),
  )
  return { llms, simulator, description: `the built-in simulator at ${simulator.url}` }
}

/** Every vendor whose key is set, and Ollama if its server answers. */
export async function live(): Promise<Vendors> {
  const llms: LLM[] = []
  const missing: string[] = []
  for (const [name, model] of Object.entries(models)) {
    try {
      const llm = createLLM(name, { model })
      if (name === 'ollama') await llm.listModels({ signal: AbortSignal.timeout(1_000) })
      llms.push(llm)
    } catch {
      missing.push(name)
    }
  }
  return {
    llms,
    description: `the real vendors${missing.length ? ` (no key or no server: ${missing.join(', ')})` : ''}`,
  }
}

const story =
  'A lighthouse keeper counted ships by their lamps. One night a lamp counted back: ' +
  'one short flash for every answer that arrived whole, and none, ever, for one that broke off and kept silent.'

/** Five simulated models, each with a pace and an opinion of its own, for those who have no key at hand. */
import { createLLM } from 'convoke'
import type { LLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import { models } from '../demo/vendors.ts'

/** How long each thinks, in milliseconds, and how it speaks. One of them likes to differ. */
const characters: Record<string, { latencyMs: number; say: (question: string) => string; differs?: true }> = {
  openai: { latencyMs: 500, say: (question) => `It depends, but on the whole: yes. (${question})` },
  anthropic: { latencyMs: 900, say: () => 'There are good reasons on both sides; I lean towards yes.' },
  gemini: { latencyMs: 700, say: () => 'Yes, in nearly all cases.' },
  cohere: { latencyMs: 1_500, say: () => 'Yes, with reservations.' },
  ollama: { latencyMs: 1_100, say: () => 'No. Everybody else is guessing.', differs: true },
}

export async function standIns(
  choices: readonly string[] | undefined,
): Promise<{ llms: LLM[]; close: () => Promise<void> }> {
  const simulator = await startSimulator({
    reply: ({ provider, prompt }) => {
      const { latencyMs, say, differs } = characters[provider] ?? { latencyMs: 0, say: () => '' }
      const [question = ''] = prompt.split('\n')
      const counted = /one number alone/.test(prompt) ? (differs ? '42' : '2') : choices?.[differs ? 1 : 0]
      return { text: judged(prompt) ?? counted ?? say(question), latencyMs, paceMs: 15 }
    },
  })
  const llms = Object.entries(models).map(([name, model]) =>
    createLLM(name, { model, apiKey: 'simulated', baseURL: simulator.baseURL(name) }),
  )
  return {
    llms,
    close: async () => {
      await Promise.all(llms.map((llm) => llm.close()))
      await simulator.close()
    },
  }
}

/** As a judge it likes the answer that says the least; as a writer, it sums up. */
function judged(prompt: string): string | undefined {
  const answers = [...prompt.matchAll(/number="(\d+)">\n([^]*?)\n<\/answer-/g)]
  if (answers.length === 0) return undefined
  if (/answer the above yourself/.test(prompt)) return 'Mostly yes, though one voice out of five says no.'
  const [shortest] = answers.sort(([, , a = ''], [, , b = '']) => a.length - b.length)
  return shortest?.[1]
}

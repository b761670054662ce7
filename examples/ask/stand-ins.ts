/** Five simulated models for readers without an API key. Each has its own pace and its own opinion. */
import { createLLM } from 'convoke'
import type { LLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import { models } from '../demo/vendors.ts'

/** The latency and the answer of each model. One of them always disagrees. */
const characters: Record<string, { latencyMs: number; say: (question: string) => string; disagrees?: true }> =
  {
    openai: { latencyMs: 500, say: (question) => `It depends, but on the whole: yes. (${question})` },
    anthropic: { latencyMs: 900, say: () => 'There are good reasons on both sides; I lean towards yes.' },
    gemini: { latencyMs: 700, say: () => 'Yes, in nearly all cases.' },
    cohere: { latencyMs: 1_500, say: () => 'Yes, with reservations.' },
    ollama: { latencyMs: 1_100, say: () => 'No. Everybody else is guessing.', disagrees: true },
  }

export async function standIns(
  choices: readonly string[] | undefined,
): Promise<{ llms: LLM[]; close: () => Promise<void> }> {
  const simulator = await startSimulator({
    reply: ({ provider, prompt }) => {
      const { latencyMs, say, disagrees } = characters[provider] ?? { latencyMs: 0, say: () => '' }
      const [question = ''] = prompt.split('\n')
      const counted = /one number alone/.test(prompt)
        ? disagrees
          ? '42'
          : '2'
        : choices?.[disagrees ? 1 : 0]
      return { text: judgement(prompt) ?? counted ?? say(question), latencyMs, paceMs: 15 }
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

/** The reply to a judge's prompt (the shortest answer) or to a synthesizer's; undefined for other prompts. */
function judgement(prompt: string): string | undefined {
  const answers = [...prompt.matchAll(/number="(\d+)">\n([^]*?)\n<\/answer-/g)]
  if (answers.length === 0) return undefined
  if (/answer the above yourself/.test(prompt)) return 'Mostly yes, though one voice out of five says no.'
  const [shortest] = answers.sort(([, , a = ''], [, , b = '']) => a.length - b.length)
  return shortest?.[1]
}

/**
 * Asks every model that you have a key for, and shows the answer that they agree on:
 *
 *   npm run ask -- "What is the tallest mountain of Europe?"
 *   npm run ask -- "Is a tomato a fruit?" --choices yes,no
 *   npm run ask -- "How many moons has Mars?" --number
 *   npm run ask -- "Name one good book." --strategy synthesize --models openai/gpt-4o,anthropic/claude-opus-4-5
 *
 * Without keys, five simulated models answer. By default the first model judges the answers; with --choices and
 * --number the majority wins.
 */
import { parseArgs } from 'node:util'
import { cluster, consensus, createLLM, judge, majority, synthesize, unanimous } from 'convoke'
import type { LLM } from 'convoke'
import type { Strategy } from 'convoke/consensus'
import { live } from '../demo/vendors.ts'
import { note, paint, print } from '../demo/view.ts'
import { show, showVerdict } from './board.ts'
import { standIns } from './stand-ins.ts'

const strategies: Record<string, (llm: LLM) => Strategy> = {
  majority: () => majority(),
  unanimous: () => unanimous(),
  cluster: () => cluster(),
  judge: (llm) => judge(llm),
  synthesize: (llm) => synthesize(llm),
}

try {
  await main()
} catch (error) {
  // Wrong arguments are reported by their message, which contains the remedy.
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 2
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      choices: { type: 'string' },
      number: { type: 'boolean', default: false },
      strategy: { type: 'string' },
      models: { type: 'string' },
      timeout: { type: 'string', default: '60' },
    },
  })
  const isSample = positionals.length === 0
  const question = isSample ? 'Is 97 a prime number?' : positionals.join(' ')
  const choices = values.choices?.split(',') ?? (isSample ? ['yes', 'no'] : undefined)
  const name = values.strategy ?? (choices || values.number ? 'majority' : 'judge')
  const strategy = strategies[name]
  if (!strategy) {
    throw new Error(`Unknown strategy "${name}"; strategies are ${Object.keys(strategies).join(', ')}.`)
  }
  const { llms, close } = await members(values.models, choices)
  try {
    print(`${paint('bold', question)}\n`)
    const timeoutMs = Number(values.timeout) * 1_000
    const run = consensus(llms, question, {
      strategy: strategy(llms[0] as LLM),
      timeoutMs,
      // The last quarter of the time is left for the judge.
      memberTimeoutMs: timeoutMs * 0.75,
      ...(choices ? { choices } : {}),
      ...(values.number ? { tolerance: 0 } : {}),
    })
    await show(run, llms)
    const verdict = await run
    showVerdict(verdict)
    process.exitCode = verdict.status === 'failed' ? 1 : 0
  } finally {
    await close()
  }
}

/** The models of the command line, else those whose keys are set, else the simulated ones. */
async function members(
  models: string | undefined,
  choices: readonly string[] | undefined,
): Promise<{ llms: LLM[]; close: () => Promise<void> }> {
  const named = models?.split(',').map((model) => createLLM(model))
  const llms = named ?? (await live()).llms
  if (llms.length > 0) {
    return { llms, close: async () => void (await Promise.all(llms.map((llm) => llm.close()))) }
  }
  note(
    'No key is set (OPENAI_API_KEY, ANTHROPIC_API_KEY, …), and Ollama does not run: five simulated models answer.\n',
  )
  return standIns(choices)
}

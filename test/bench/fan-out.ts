/**
 * `npm run bench:fanout`: the time of a fan-out over five vendors, compared with its slowest member. Each vendor
 * answers after 200 ms. In every round each vendor is asked by itself, and then all at once. Goal: at most 1.03 × the
 * slowest of that round. The simulator runs in a process of its own.
 *
 * node test/bench/fan-out.ts [--rounds 21]
 */
import { parseArgs } from 'node:util'
import { importConvoke, importSimulator } from './built.ts'
import { message, start, stop } from './measure.ts'
import { machine, median } from './report.ts'

interface Listening {
  kind: 'listening'
  baseURLs: Record<string, string>
}

const vendors = ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']
const latencyMs = 200
const goal = 1.03

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '21' }, serve: { type: 'boolean', default: false } },
})
if (values.serve) await serve()
else await run(Number(values.rounds))

async function serve(): Promise<void> {
  const { startSimulator } = await importSimulator()
  const simulator = await startSimulator({ reply: { text: 'Paris.', latencyMs } })
  const baseURLs = Object.fromEntries(vendors.map((vendor) => [vendor, simulator.baseURL(vendor)]))
  process.on('disconnect', () => process.exit())
  process.send?.({ kind: 'listening', baseURLs } satisfies Listening)
}

async function run(rounds: number): Promise<void> {
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${rounds}: a whole number from 1`)
  const server = start('fan-out.ts', ['--serve'])
  try {
    const { baseURLs } = await message<Listening, 'listening'>(server, 'listening')
    const { createLLM, fanOut } = await importConvoke()
    const llms = Object.fromEntries(
      vendors.map((name) => [
        name,
        createLLM(name, { model: 'm', apiKey: 'k', baseURL: baseURLs[name] ?? '' }),
      ]),
    )
    // Loads the SDKs and opens the connections.
    await fanOut(llms, 'What is the capital of France?')
    const figures: { slowestMs: number; togetherMs: number }[] = []
    for (let round = 0; round < rounds; round++) {
      const alone: number[] = []
      for (const llm of Object.values(llms))
        alone.push(await timed(() => llm.agenerate('What is the capital of France?')))
      const togetherMs = await timed(async () => {
        const results = await fanOut(llms, 'What is the capital of France?')
        for (const { error } of Object.values(results)) if (error) throw error
      })
      figures.push({ slowestMs: Math.max(...alone), togetherMs })
    }
    await Promise.all(Object.values(llms).map((llm) => llm.close()))
    const ratios = figures.map(({ slowestMs, togetherMs }) => togetherMs / slowestMs)
    const ratio = median(ratios)
    console.log(`${machine()}; medians of ${rounds} rounds\n`)
    console.log(
      `slowest of five by itself, ms   ${median(figures.map(({ slowestMs }) => slowestMs)).toFixed(1)}`,
    )
    console.log(
      `all five by fanOut, ms          ${median(figures.map(({ togetherMs }) => togetherMs)).toFixed(1)}`,
    )
    console.log(
      `ratio                           ${ratio.toFixed(3)}   goal ≤ ${goal}: ${ratio <= goal ? 'yes' : 'no'}`,
    )
  } finally {
    await stop(server)
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

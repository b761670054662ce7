/**
 * `npm run bench:blocking`: the cost of a blocking call, compared with the same call awaited, the bare SDK, synckit and
 * spawnSync, and with the goals.
 *
 * node test/bench/blocking.ts [--only call,pinned,first,stream,throughput] [--vendors openai,ollama]
 *   [--callers blocking,awaited,bare,synckit,spawn] [--rounds 3] [--markdown]
 *
 * The table goes to stdout, the progress to stderr. Only ratios within one run are reliable. The exit code is not 0
 * when something could not be measured; missed goals do not change it.
 */
import { parseArgs } from 'node:util'
import { callers, loadNames, loads } from './blocking/loads.ts'
import type { BlockingFigures, BlockingTask, LoadName } from './blocking/loads.ts'
import { blockingDoubts, blockingTable } from './blocking/report.ts'
import type { BlockingOutcome } from './blocking/report.ts'
import { measureRun } from './measure.ts'
import { installPeers } from './peers.ts'
import { asMarkdown, asText, machine } from './report.ts'
import { vendors } from './scenarios.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: loadNames.join() },
    vendors: { type: 'string', default: 'openai' },
    callers: { type: 'string', default: callers.join() },
    rounds: { type: 'string', default: '3' },
    markdown: { type: 'boolean', default: false },
  },
})
const only = chosen('only', loadNames, values.only)
const chosenVendors = chosen('vendors', vendors, values.vendors)
const chosenCallers = chosen('callers', callers, values.callers)
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds ${values.rounds}: a whole number from 1`)

if (chosenCallers.includes('synckit')) installPeers()
const outcomes: BlockingOutcome[] = []
for (const load of only) await runLoad(load)
const table = blockingTable(outcomes)
console.log(`${machine()}; medians of ${rounds} rounds\n`)
console.log(`${values.markdown ? asMarkdown(table) : asText(table)}\n`)
for (const doubt of blockingDoubts(outcomes)) console.log(doubt)

/** Measures each caller once per round, so that a drift of the machine affects all of them. */
async function runLoad(load: LoadName): Promise<void> {
  const tasks = plan(load)
  for (let round = 1; round <= rounds * loads[load].processes; round++) {
    for (const task of tasks) {
      process.stderr.write(`${load} ${task.vendor} ${task.caller} ${round}/${rounds * loads[load].processes}`)
      try {
        outcomes.push(await runTask(task))
      } catch (error) {
        process.stderr.write(`: ${String(error)}\n`)
        // A failed measurement is an error; a missed goal is a result.
        process.exitCode = 1
      }
    }
  }
}

/** Callers that use OpenAI's SDK can only call OpenAI. */
function plan(load: LoadName): Omit<BlockingTask, 'baseURL'>[] {
  return chosenVendors.flatMap((vendor) =>
    loads[load].callers
      .filter((caller) => chosenCallers.includes(caller))
      .filter((caller) => vendor === 'openai' || caller === 'blocking' || caller === 'awaited')
      .map((caller) => ({ load, caller, vendor })),
  )
}

async function runTask(task: Omit<BlockingTask, 'baseURL'>): Promise<BlockingOutcome> {
  const { figures, firstError } = await measureRun<BlockingFigures>({
    server: { file: 'blocking/server.ts', parameters: [task.vendor, task.load] },
    client: { file: 'blocking/client.ts', task },
    ...(loads[task.load].isPinned && { isPinned: true }),
  })
  process.stderr.write(
    `: simulator at ${percent(figures.serverShare)}, others ${percent(figures.othersShare)}\n`,
  )
  if (firstError !== undefined) process.stderr.write(`  ${figures.lost} lost: ${firstError}\n`)
  return { ...task, figures }
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}

function chosen<T extends string>(option: string, all: readonly T[], given: string): T[] {
  const wanted = given.split(',')
  const unknown = wanted.find((name) => !all.includes(name as T))
  if (unknown !== undefined) throw new Error(`--${option} ${unknown}: one of ${all.join(', ')}`)
  return all.filter((name) => wanted.includes(name))
}

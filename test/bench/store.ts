/**
 * `npm run bench:store`: the cost of storing conversations, compared with better-sqlite3 by hand, with LangChain's
 * history in a file, and with the goals.
 *
 * node test/bench/store.ts [--only append,loop,open,turns] [--keepers convoke,batched,inline,langchain] [--rounds 3]
 *   [--folder /var/tmp] [--markdown]
 *
 * The folder decides which disk is used, and so the time of every sync. The table goes to stdout, the progress to
 * stderr. Only ratios within one run are reliable. The exit code is not 0 when something could not be measured; missed
 * goals do not change it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { machineMs, message, start, stop } from './measure.ts'
import { installPeers } from './peers.ts'
import { asMarkdown, asText, machine, median } from './report.ts'
import type { StoreClientMessage } from './store/client.ts'
import { keepers, loadNames, loads } from './store/loads.ts'
import type { KeeperName, LoadName, StoreFigures, StoreTask } from './store/loads.ts'
import { storeTable } from './store/report.ts'
import type { StoreOutcome } from './store/report.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: loadNames.join() },
    keepers: { type: 'string', default: keepers.join() },
    rounds: { type: 'string', default: '3' },
    folder: { type: 'string', default: tmpdir() },
    markdown: { type: 'boolean', default: false },
  },
})
const only = chosen('only', loadNames, values.only)
const chosenKeepers = chosen('keepers', keepers, values.keepers)
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds ${values.rounds}: a whole number from 1`)

if (only.includes('turns') && chosenKeepers.includes('langchain')) installPeers()
const folder = mkdtempSync(join(values.folder, 'convoke-bench-'))
const longFile = join(folder, 'long.db')
const othersShares: number[] = []
try {
  const outcomes: StoreOutcome[] = []
  for (const name of only) outcomes.push(...(await runLoad(name)))
  const table = storeTable(outcomes)
  console.log(`${machine()}; medians of ${rounds} rounds\n`)
  console.log(`${values.markdown ? asMarkdown(table) : asText(table)}\n`)
  const share = median(othersShares)
  if (share > 0.05)
    console.log(
      `Other processes took ${(share * 100).toFixed(0)} % of the machine: measure again when it is idle.`,
    )
} finally {
  rmSync(folder, { recursive: true })
}

/** Measures each keeper once per round, so that a drift of the machine affects all of them. */
async function runLoad(name: LoadName): Promise<StoreOutcome[]> {
  const outcomes: StoreOutcome[] = []
  const tasks = plan(name)
  if (name === 'open') await runTask({ ...tasks[0], load: 'build', keeper: 'convoke' } as StoreTask)
  for (let round = 1; round <= rounds; round++) {
    for (const task of tasks) {
      const { keeper, durability, callers } = task
      process.stderr.write(`${name} ${keeper} ${durability} ${callers} ${round}/${rounds}`)
      try {
        const figures = await runTask(task)
        process.stderr.write(`: others ${((othersShares.at(-1) ?? 0) * 100).toFixed(0)} %\n`)
        outcomes.push({ load: name, keeper, durability, callers, figures })
      } catch (error) {
        process.stderr.write(`: ${String(error)}\n`)
        // A failed measurement is an error; a missed goal is a result.
        process.exitCode = 1
      }
    }
  }
  return outcomes
}

function plan(name: LoadName): StoreTask[] {
  const { durabilities, callers, oneCaller, ...load } = loads[name]
  const file = name === 'open' ? longFile : join(folder, 'run.db')
  const callersOf = (keeper: KeeperName) => (oneCaller.includes(keeper) ? [1] : callers)
  return durabilities.flatMap((durability) =>
    load.keepers
      .filter((keeper) => chosenKeepers.includes(keeper))
      .flatMap((keeper) =>
        callersOf(keeper).map((callers) => ({ load: name, keeper, durability, callers, file })),
      ),
  )
}

/** Runs a fresh process, with a fresh file, except that `open` uses the file of the long session. */
async function runTask(task: StoreTask): Promise<StoreFigures> {
  const startedAt = performance.now()
  const busyBefore = machineMs()
  const client = start('store/client.ts', [JSON.stringify(task)])
  try {
    const { figures } = await message<StoreClientMessage, 'result'>(client, 'result')
    const othersMs = Math.max(0, machineMs() - busyBefore - figures.cpuMs)
    othersShares.push(othersMs / (performance.now() - startedAt) / cpus().length)
    return figures
  } finally {
    await stop(client)
    if (task.file !== longFile)
      for (const end of ['', '-wal', '-shm']) rmSync(task.file + end, { force: true })
  }
}

function chosen<T extends string>(option: string, all: readonly T[], given: string): T[] {
  const wanted = given.split(',')
  const unknown = wanted.find((name) => !all.includes(name as T))
  if (unknown !== undefined) throw new Error(`--${option} ${unknown}: one of ${all.join(', ')}`)
  return all.filter((name) => wanted.includes(name))
}

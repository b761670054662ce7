/**
 * `npm run bench`: the cost of convoke, compared with the bare SDK that it wraps, with its peers, and with the goals.
 *
 * node test/bench/run.ts [--only call,stream,paced,many,relaxed,import] [--vendors openai,ollama]
 *   [--subjects bare,convoke,ai,langchain,undici] [--rounds 3] [--markdown]
 *
 * The tables go to stdout, the progress to stderr. Only ratios within one run are reliable. The exit code is not 0 when
 * something could not be measured; missed goals do not change it.
 */
import { parseArgs } from 'node:util'
import { importCost } from './import-cost.ts'
import { measure } from './measure.ts'
import { installPeers } from './peers.ts'
import { asMarkdown, asText, doubts, importTable, machine, speedTable } from './report.ts'
import type { Outcome, Table } from './report.ts'
import { scenarioNames, scenarios, subjects, vendors } from './scenarios.ts'
import type { ScenarioName, SubjectName, Vendor } from './scenarios.ts'
import { vendorsOf } from './subjects/subject.ts'

interface Cell {
  scenario: ScenarioName
  vendor: Vendor
  subjects: SubjectName[]
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    vendors: { type: 'string' },
    subjects: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    markdown: { type: 'boolean', default: false },
  },
})
const only = chosen('only', [...scenarioNames, 'import'] as const, values.only)
const chosenSubjects = chosen('subjects', subjects, values.subjects)
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds ${values.rounds}: a whole number from 1`)

const cells = plan()
const needsPeers = cells.some(({ subjects }) =>
  subjects.some((name) => name === 'ai' || name === 'langchain'),
)
if (needsPeers) installPeers()
const outcomes: Outcome[] = []
for (const cell of cells) outcomes.push(await runCell(cell))
print([
  ...(outcomes.length > 0 ? [speedTable(outcomes)] : []),
  ...(only.includes('import') ? [importTable(importCost())] : []),
])

function plan(): Cell[] {
  const named = values.vendors === undefined ? undefined : chosen('vendors', vendors, values.vendors)
  return scenarioNames
    .filter((name) => only.includes(name))
    .flatMap((scenario) =>
      vendors.map((vendor) => ({ scenario, vendor, subjects: subjectsOf(scenario, vendor, named) })),
    )
    .filter((cell) => cell.subjects.length > 0)
}

/** Vendors that the command line names are measured on every subject that supports them. */
function subjectsOf(
  scenario: ScenarioName,
  vendor: Vendor,
  named: readonly Vendor[] | undefined,
): SubjectName[] {
  const { bare, peers } = scenarios[scenario].vendors
  return chosenSubjects.filter((subject) => {
    if (subject === 'bare' || subject === 'convoke') return (named ?? bare).includes(vendor)
    return (named ?? peers).includes(vendor) && vendorsOf[subject].includes(vendor)
  })
}

/** Measures each subject once per round, so that a drift of the machine affects all of them. */
async function runCell({ scenario, vendor, subjects }: Cell): Promise<Outcome> {
  const outcome: Outcome = { scenario, vendor, rounds: {} }
  for (let round = 1; round <= rounds; round++) {
    for (const subject of subjects) {
      process.stderr.write(`${scenario} ${vendor} ${subject} ${round}/${rounds}`)
      try {
        const { figures, firstError } = await measure({ scenario, vendor, subject })
        process.stderr.write(
          `: simulator at ${percent(figures.serverShare)}, others ${percent(figures.othersShare)}\n`,
        )
        if (firstError !== undefined) process.stderr.write(`  ${figures.lost} lost: ${firstError}\n`)
        ;(outcome.rounds[subject] ??= []).push(figures)
      } catch (error) {
        process.stderr.write(`: ${String(error)}\n`)
        // A failed measurement is an error; a missed goal is a result.
        process.exitCode = 1
      }
    }
  }
  return outcome
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}

function print(tables: readonly Table[]): void {
  console.log(`${machine()}; medians of ${rounds} rounds\n`)
  for (const table of tables) console.log(`${values.markdown ? asMarkdown(table) : asText(table)}\n`)
  for (const doubt of doubts(outcomes)) console.log(doubt)
}

function chosen<T extends string>(option: string, all: readonly T[], given: string | undefined): T[] {
  const wanted = given?.split(',') ?? all
  const unknown = wanted.find((name) => !all.includes(name as T))
  if (unknown !== undefined) throw new Error(`--${option} ${unknown}: one of ${all.join(', ')}`)
  return all.filter((name) => wanted.includes(name))
}

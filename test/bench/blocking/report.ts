/** Turns measurements into the table: medians, ratios of medians, and whether the goals are met. */
import { median } from '../report.ts'
import type { Table } from '../report.ts'
import type { Vendor } from '../scenarios.ts'
import { callers, loadNames, loads } from './loads.ts'
import type { BlockingFigures, BlockingGoal, BlockingMeasure, CallerName, LoadName } from './loads.ts'

/** The measurements of one process. */
export interface BlockingOutcome {
  load: LoadName
  caller: CallerName
  vendor: Vendor
  figures: BlockingFigures & { serverShare: number; othersShare: number }
}

type Values = Partial<Record<CallerName, number>>

const titles: Record<CallerName, string> = {
  blocking: 'generate()',
  awaited: 'await agenerate()',
  bare: 'await bare SDK',
  synckit: 'synckit, bare SDK',
  spawn: 'spawnSync, bare SDK',
}
const others = ['awaited', 'bare', 'synckit'] as const
const short: Record<(typeof others)[number], string> = {
  awaited: 'awaited',
  bare: 'bare',
  synckit: 'synckit',
}

/** One table for all loads, with a row for each measure and vendor. */
export function blockingTable(outcomes: readonly BlockingOutcome[]): Table {
  const names = loadNames.filter((name) => outcomes.some(({ load }) => load === name))
  return {
    title: names.map((name) => `${name}: ${loads[name].title}`).join('\n'),
    names: 3,
    head: [
      ...['load', 'measure', 'vendor'],
      ...callers.map((caller) => titles[caller]),
      ...others.map((caller) => `÷ ${short[caller]}`),
      ...['goal', 'met'],
    ],
    rows: names.flatMap((name) => {
      const byVendor = Map.groupBy(
        outcomes.filter(({ load }) => load === name),
        ({ vendor }) => vendor,
      )
      return loads[name].measures.flatMap((measure) =>
        [...byVendor].map(([vendor, made]) => [name, ...row(measure, vendor, made)]),
      )
    }),
  }
}

/** Warnings about unreliable wall times: the simulator lacked CPU, or other processes were busy. */
export function blockingDoubts(outcomes: readonly BlockingOutcome[]): string[] {
  const busy = loadNames.flatMap((name) =>
    callers
      .filter((caller) => {
        const made = outcomes.filter((one) => one.load === name && one.caller === caller)
        return median(made.map(({ figures }) => figures.serverShare)) > 0.9
      })
      .map((caller) => `The simulator was short of CPU: ${name}, ${titles[caller]}.`),
  )
  // The processes that spawnSync starts count as other processes.
  const shares = outcomes.filter(({ caller }) => caller !== 'spawn').map(({ figures }) => figures.othersShare)
  const share = median(shares)
  const disturbed = `Other processes took ${(share * 100).toFixed(0)} % of the machine: measure again when it is idle.`
  return share > 0.05 ? [...busy, disturbed] : busy
}

function row(measure: BlockingMeasure, vendor: Vendor, outcomes: readonly BlockingOutcome[]): string[] {
  const values: Values = {}
  for (const caller of callers) {
    const rounds = outcomes
      .filter((one) => one.caller === caller)
      .flatMap(({ figures }) => figures[measure.key] ?? [])
    if (rounds.length > 0) values[caller] = measure.isWorst ? Math.max(...rounds) : median(rounds)
  }
  const { goal = {} } = measure
  return [
    measure.title,
    vendor,
    ...callers.map((caller) => values[caller]?.toFixed(measure.digits) ?? '–'),
    ...others.map((caller) => ratio(values, caller)?.toFixed(2) ?? '–'),
    goalText(goal),
    verdict(values, goal),
  ]
}

function ratio(values: Values, caller: CallerName): number | undefined {
  const { blocking, [caller]: other } = values
  return blocking === undefined || !other ? undefined : blocking / other
}

function goalText({ atMostOfAwaited, atLeastOfAwaited, atMost }: BlockingGoal): string {
  return [
    atMostOfAwaited !== undefined && `≤ ${atMostOfAwaited} × awaited`,
    atLeastOfAwaited !== undefined && `≥ ${atLeastOfAwaited} × awaited`,
    atMost !== undefined && `≤ ${atMost}`,
  ]
    .filter((part) => part !== false)
    .join(', ')
}

/** Whether the goal is met; blank when it was not measured. */
function verdict(values: Values, { atMostOfAwaited, atLeastOfAwaited, atMost }: BlockingGoal): string {
  const measured = ratio(values, 'awaited')
  const { blocking } = values
  const held = [
    ...(measured === undefined || atMostOfAwaited === undefined ? [] : [measured <= atMostOfAwaited]),
    ...(measured === undefined || atLeastOfAwaited === undefined ? [] : [measured >= atLeastOfAwaited]),
    ...(blocking === undefined || atMost === undefined ? [] : [blocking <= atMost]),
  ]
  if (held.length === 0) return ''
  return held.every(Boolean) ? 'yes' : 'no'
}

/** Turns measurements into the table: medians, ratios of medians, and whether the goals are met. */
import { median } from '../report.ts'
import type { Table } from '../report.ts'
import { keepers, loadNames, loads } from './loads.ts'
import type { Durability, KeeperName, LoadName, StoreFigures, StoreGoal, StoreMeasure } from './loads.ts'

/** The measurements of one keeper in one round. */
export interface StoreOutcome {
  load: LoadName
  keeper: KeeperName
  durability: Durability
  callers: number
  figures: StoreFigures
}

interface Line {
  load: LoadName
  measure: StoreMeasure
  durability: Durability
  callers: number
}

type Values = Partial<Record<KeeperName, number>>

const titles: Record<KeeperName, string> = {
  convoke: 'convoke',
  batched: 'better-sqlite3, by 100',
  inline: 'better-sqlite3, one by one',
  langchain: 'LangChain, file',
}
const others = ['batched', 'inline', 'langchain'] as const
const short: Record<(typeof others)[number], string> = {
  batched: 'by 100',
  inline: 'one by one',
  langchain: 'LangChain',
}

/** One table for all loads, with a row for each measure, durability and number of callers. */
export function storeTable(outcomes: readonly StoreOutcome[]): Table {
  const names = loadNames.filter((name) => outcomes.some(({ load }) => load === name))
  return {
    title: names.map((name) => `${name}: ${loads[name].title}`).join('\n'),
    names: 4,
    head: [
      ...['load', 'measure', 'durability', 'callers'],
      ...keepers.map((keeper) => titles[keeper]),
      ...others.map((keeper) => `÷ ${short[keeper]}`),
      ...['goal', 'met'],
    ],
    rows: names.flatMap(linesOf).map((line) => row(line, outcomes)),
  }
}

function linesOf(load: LoadName): Line[] {
  const { measures, durabilities, callers } = loads[load]
  return measures.flatMap((measure) =>
    durabilities.flatMap((durability) => callers.map((callers) => ({ load, measure, durability, callers }))),
  )
}

function row(line: Line, outcomes: readonly StoreOutcome[]): string[] {
  const { load, measure, durability, callers } = line
  const values: Values = {}
  for (const keeper of keepers) {
    const value = valueOf(keeper, line, outcomes)
    if (value !== undefined) values[keeper] = value
  }
  const goal = measure.goal?.(durability, callers) ?? {}
  return [
    ...[load, measure.title, durability, callers.toLocaleString('en')],
    ...keepers.map((keeper) => values[keeper]?.toFixed(measure.digits) ?? '–'),
    ...others.map((keeper) => ratio(values, keeper)?.toFixed(2) ?? '–'),
    goalText(goal),
    verdict(values, goal),
  ]
}

function valueOf(keeper: KeeperName, line: Line, outcomes: readonly StoreOutcome[]): number | undefined {
  const { load, measure, durability } = line
  const callers = loads[load].oneCaller.includes(keeper) ? 1 : line.callers
  const rounds = outcomes
    .filter((one) => one.load === load && one.keeper === keeper)
    .filter((one) => one.durability === durability && one.callers === callers)
    .flatMap(({ figures }) => figures[measure.key] ?? [])
  if (rounds.length === 0) return undefined
  return measure.isWorst ? Math.max(...rounds) : median(rounds)
}

function ratio(values: Values, keeper: KeeperName): number | undefined {
  const { convoke, [keeper]: other } = values
  return convoke === undefined || !other ? undefined : convoke / other
}

function goalText({ ofBatched, ofInline, atMost }: StoreGoal): string {
  return [
    ofBatched !== undefined && `≥ ${ofBatched} × ${short.batched}`,
    ofInline !== undefined && `≥ ${ofInline} × ${short.inline}`,
    atMost !== undefined && `≤ ${atMost}`,
  ]
    .filter((part) => part !== false)
    .join(', ')
}

function verdict(values: Values, { ofBatched, ofInline, atMost }: StoreGoal): string {
  const reaches = (keeper: KeeperName, least: number | undefined) => {
    const measured = least === undefined ? undefined : ratio(values, keeper)
    return measured === undefined || least === undefined ? [] : [measured >= least]
  }
  const held = [
    ...reaches('batched', ofBatched),
    ...reaches('inline', ofInline),
    ...(atMost === undefined || values.convoke === undefined ? [] : [values.convoke <= atMost]),
  ]
  if (held.length === 0) return ''
  return held.every(Boolean) ? 'yes' : 'no'
}

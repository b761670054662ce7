/** Turns measurements into tables: medians, ratios of medians, and whether the goals are met. */
import { cpus, totalmem } from 'node:os'
import type { ImportCost } from './import-cost.ts'
import { scenarioNames, scenarios, subjects } from './scenarios.ts'
import type { Figures, Goal, Measure, ScenarioName, SubjectName, Vendor } from './scenarios.ts'

/** The measurements of one scenario on one vendor, in all rounds. */
export interface Outcome {
  scenario: ScenarioName
  vendor: Vendor
  rounds: Partial<Record<SubjectName, Figures[]>>
}

export interface Table {
  title: string
  /** The number of columns before the figures. */
  names: number
  head: string[]
  rows: string[][]
}

type Values = Partial<Record<SubjectName, number>>

const titles: Record<SubjectName, string> = {
  bare: 'bare SDK',
  convoke: 'convoke',
  ai: 'AI SDK',
  langchain: 'LangChain',
  undici: 'undici',
}
const others = ['bare', 'ai', 'langchain'] as const

export function machine(): string {
  const [first, ...rest] = cpus()
  const gb = Math.round(totalmem() / 2 ** 30)
  const date = new Date().toISOString().slice(0, 10)
  return `${rest.length + 1} × ${first?.model ?? 'unknown'}, ${gb} GB, Node ${process.version}, ${date}`
}

/** One table for all scenarios, with a row for each measure and vendor. */
export function speedTable(outcomes: readonly Outcome[]): Table {
  const names = scenarioNames.filter((name) => outcomes.some(({ scenario }) => scenario === name))
  const ratios = others.map((subject) => `÷ ${titles[subject]}`)
  return {
    title: names.map((name) => `${name}: ${scenarios[name].title}`).join('\n'),
    names: 3,
    head: [
      'load',
      'measure',
      'vendor',
      ...subjects.map((subject) => titles[subject]),
      ...ratios,
      'goal',
      'met',
    ],
    rows: names.flatMap((name) => {
      const ofScenario = outcomes.filter(({ scenario }) => scenario === name)
      return scenarios[name].measures.flatMap((measure) =>
        ofScenario.map((outcome) => [name, ...speedRow(measure, outcome)]),
      )
    }),
  }
}

export function importTable(costs: readonly ImportCost[]): Table {
  return {
    title: 'Import cost, whole process, median of 20',
    names: 1,
    head: ['import', 'ms in all', 'ms over bare Node'],
    rows: costs.map(({ what, medianMs, overBareMs }) => [what, medianMs.toFixed(1), overBareMs.toFixed(1)]),
  }
}

/** Warnings about unreliable wall times: the simulator lacked CPU, or other processes were busy. */
export function doubts(outcomes: readonly Outcome[]): string[] {
  const busy = outcomes.flatMap(({ scenario, vendor, rounds }) =>
    subjects
      .filter((subject) => middle(rounds[subject] ?? [], 'serverShare') > 0.9)
      .map((subject) => `The simulator was short of CPU: ${scenario}, ${vendor}, ${titles[subject]}.`),
  )
  const share = middle(
    outcomes.flatMap(({ rounds }) => Object.values(rounds).flat()),
    'othersShare',
  )
  const disturbed = `Other processes took ${(share * 100).toFixed(0)} % of the machine: measure again when it is idle.`
  return share > 0.05 ? [...busy, disturbed] : busy
}

export function asText({ title, names, head, rows }: Table): string {
  const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => (row[at] ?? '').length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => (at < names ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
  const rule = widths.map((width) => '─'.repeat(width))
  return [title, line(head), line(rule), ...rows.map(line)].join('\n')
}

export function asMarkdown({ title, names, head, rows }: Table): string {
  const line = (row: readonly string[]) => `| ${row.join(' | ')} |`
  const rule = head.map((_, at) => (at < names ? '---' : '--:'))
  return [`${title.replaceAll('\n', '; ')}.\n`, line(head), line(rule), ...rows.map(line)].join('\n')
}

function middle(figures: readonly Figures[], key: keyof Figures): number {
  return median(figures.map((one) => one[key]))
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

function speedRow(measure: Measure, { vendor, rounds }: Outcome): string[] {
  const values: Values = {}
  for (const subject of subjects) {
    const figures = rounds[subject]
    if (!figures?.length) continue
    values[subject] = measure.isWorst
      ? Math.max(...figures.map((one) => one[measure.key]))
      : middle(figures, measure.key)
  }
  const goal = measure.goal?.(vendor) ?? {}
  return [
    measure.title,
    vendor,
    ...subjects.map((subject) => values[subject]?.toFixed(measure.digits) ?? '–'),
    ...others.map((subject) => ratio(values, subject)?.toFixed(2) ?? '–'),
    goalText(goal),
    verdict(values, goal),
  ]
}

function ratio(values: Values, subject: SubjectName): number | undefined {
  const { convoke, [subject]: other } = values
  return convoke === undefined || !other ? undefined : convoke / other
}

function goalText({ ofBare, ofPeers, atMost }: Goal): string {
  return [
    ofBare !== undefined && `≤ ${ofBare} × bare`,
    ofPeers !== undefined && `≤ ${ofPeers} × peers`,
    atMost !== undefined && `≤ ${atMost}`,
  ]
    .filter((part) => part !== false)
    .join(', ')
}

function verdict(values: Values, { ofBare, ofPeers, atMost }: Goal): string {
  const { convoke } = values
  const within = (subject: SubjectName, limit: number | undefined) => {
    const measured = limit === undefined ? undefined : ratio(values, subject)
    return measured === undefined || limit === undefined ? [] : [measured <= limit]
  }
  const held = [
    ...within('bare', ofBare),
    ...within('ai', ofPeers),
    ...within('langchain', ofPeers),
    ...(atMost === undefined || convoke === undefined ? [] : [convoke <= atMost]),
  ]
  if (held.length === 0) return ''
  return held.every(Boolean) ? 'yes' : 'no'
}

/** Figures to tables: medians, ratios of the medians, goals met. */
import { cpus, totalmem } from 'node:os'
import type { ImportCost } from './import-cost.ts'
import { scenarios, subjects } from './scenarios.ts'
import type { Figures, Goal, Measure, ScenarioName, SubjectName, Vendor } from './scenarios.ts'

/** What the rounds of one scenario on one vendor gave. */
export interface Outcome {
  scenario: ScenarioName
  vendor: Vendor
  rounds: Partial<Record<SubjectName, Figures[]>>
}

export interface Table {
  title: string
  head: string[]
  rows: string[][]
}

type Values = Partial<Record<SubjectName, number>>

const titles: Record<SubjectName, string> = {
  bare: 'bare SDK',
  convoke: 'convoke',
  ai: 'AI SDK',
  langchain: 'LangChain',
}
const others = subjects.filter((name) => name !== 'convoke')

export function machine(): string {
  const [first, ...rest] = cpus()
  const gb = Math.round(totalmem() / 2 ** 30)
  const date = new Date().toISOString().slice(0, 10)
  return `${rest.length + 1} × ${first?.model ?? 'unknown'}, ${gb} GB, Node ${process.version}, ${date}`
}

/** A table for each scenario. */
export function speedTables(outcomes: readonly Outcome[]): Table[] {
  return [...Map.groupBy(outcomes, ({ scenario }) => scenario)].map(([name, ofScenario]) => ({
    title: scenarios[name].title,
    head: [
      '',
      'vendor',
      ...subjects.map((s) => titles[s]),
      ...others.map((s) => `÷ ${titles[s]}`),
      'goal',
      'met',
    ],
    rows: scenarios[name].measures.flatMap((measure) =>
      ofScenario.map((outcome) => speedRow(measure, outcome)),
    ),
  }))
}

export function importTable(costs: readonly ImportCost[]): Table {
  return {
    title: 'Import cost, whole process, median of 20',
    head: ['import', 'ms in all', 'ms over bare Node'],
    rows: costs.map(({ what, medianMs, overBareMs }) => [what, medianMs.toFixed(1), overBareMs.toFixed(1)]),
  }
}

/** Runs in which the simulator had hardly any CPU left: their wall times are the simulator's. */
export function busySimulators(outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ scenario, vendor, rounds }) =>
    subjects.flatMap((subject) => {
      const share = median((rounds[subject] ?? []).map((figures) => figures.serverShare))
      return share > 0.9 ? [`${scenario}, ${vendor}, ${titles[subject]}: ${(share * 100).toFixed(0)} %`] : []
    }),
  )
}

export function asText({ title, head, rows }: Table): string {
  const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => (row[at] ?? '').length)))
  const line = (row: readonly string[]) =>
    row.map((cell, at) => (at < 2 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ')
  return [title, line(head), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join(
    '\n',
  )
}

export function asMarkdown({ title, head, rows }: Table): string {
  const line = (row: readonly string[]) => `| ${row.join(' | ')} |`
  return [
    `${title}:\n`,
    line(head),
    line(head.map((_, at) => (at < 2 ? '---' : '--:'))),
    ...rows.map(line),
  ].join('\n')
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

function speedRow(measure: Measure, { vendor, rounds }: Outcome): string[] {
  const values: Values = {}
  for (const subject of subjects) {
    const figures = rounds[subject]
    if (figures?.length) values[subject] = median(figures.map((one) => one[measure.key]))
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

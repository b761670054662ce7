/** Shows a consensus: a line for each member while it runs, and then the verdict. */
import { stripVTControlCharacters } from 'node:util'
import type { Consensus, LLM, Verdict } from 'convoke'
import { Board, note, paint, print, table } from '../demo/view.ts'

const frames = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'
const statusColours = { agreed: 'green', split: 'yellow', degraded: 'magenta', failed: 'red' } as const

/**
 * Shows the members until the consensus is decided. On a terminal lines change in place; elsewhere each is printed
 * once.
 */
export async function show(run: Consensus<unknown>, llms: readonly LLM[]): Promise<void> {
  const startedAt = performance.now()
  let names: string[] = []
  let board: Board | undefined
  const open = new Set<string>()
  const seconds = (timeMs: number) => paint('dim', `${(timeMs / 1_000).toFixed(1)} s`)
  const label = (name: string) => paint('cyan', name.padEnd(widest(names)))
  const finish = (name: string, text: string) => {
    open.delete(name)
    board?.finish(names.indexOf(name), `${label(name)} ${text}`)
  }
  const spin = setInterval(() => {
    const elapsed = performance.now() - startedAt
    const frame = paint('yellow', frames[Math.floor(elapsed / 100) % frames.length] ?? '')
    for (const name of open) board?.set(names.indexOf(name), `${label(name)} ${frame} ${seconds(elapsed)}`)
  }, 100)
  try {
    for await (const event of run) {
      switch (event.type) {
        case 'round':
          names = event.members
          board = new Board(names)
          for (const name of names) open.add(name)
          break
        case 'vote': {
          const timeMs = performance.now() - startedAt
          finish(event.member, `${paint('green', '✓')} ${seconds(timeMs)} ${oneLine(event.answer)}`)
          break
        }
        case 'failure':
          finish(
            event.member,
            `${paint('red', '✗')} ${seconds(event.timeMs)} ${oneLine(event.error.message)}`,
          )
          break
        case 'stopped':
          finish(event.member, paint('dim', '– stopped, because the result is certain'))
          break
        case 'consultation':
          note(`\nThe ${event.role} (${llms[0]?.model ?? ''}) reads the answers …`)
          break
      }
    }
  } finally {
    clearInterval(spin)
  }
}

export function showVerdict(verdict: Verdict): void {
  const { status, answer, agreement, reason, votes, dissent, members, usage, costUsd, stopped } = verdict
  const bar = '█'.repeat(Math.round(agreement * 20)).padEnd(20, '░')
  const head = paint(['bold', statusColours[status]], status.toUpperCase())
  const share = `${stopped.length > 0 ? 'at least ' : ''}${(agreement * 100).toFixed(0)} %`
  print(`\n${head}  ${bar} ${share} agree`)
  print(paint('bold', answer === undefined ? '(no answer)' : clean(text(answer))))
  note(reason)
  if (dissent.length > 0) {
    print('\nOther answers:')
    for (const vote of dissent) print(`  ${paint('cyan', vote.member)} ${oneLine(vote.answer)}`)
  }
  print()
  const marks = { answered: '✓', failed: '✗', stopped: '–' }
  table(
    ['', 'member', 'tokens', 'US$', 'seconds'],
    members.map((member) => [
      marks[member.outcome],
      member.member,
      String(member.usage.totalTokens),
      money(member.costUsd),
      (member.timeMs / 1_000).toFixed(1),
    ]),
  )
  const early = stopped.length > 0 ? `, ${stopped.length} stopped early` : ''
  const total = `${usage.totalTokens} tokens, US$ ${money(costUsd)}, ${(verdict.timeMs / 1_000).toFixed(1)} s`
  note(`\n${votes.length} of ${members.length} voted${early}; ${total} in all.`)
}

function money(costUsd: number | undefined): string {
  return costUsd === undefined ? '?' : costUsd.toFixed(5)
}

function text(answer: unknown): string {
  return typeof answer === 'string' ? answer : JSON.stringify(answer)
}

/** Removes control characters, because a model's text must not control the terminal. */
function clean(words: string): string {
  return stripVTControlCharacters(words).replaceAll(/[^\P{Cc}\n\t]/gu, '')
}

function oneLine(answer: unknown): string {
  return clean(text(answer)).replaceAll(/\s+/g, ' ')
}

function widest(names: readonly string[]): number {
  return Math.max(0, ...names.map((name) => name.length))
}

/** The output of the demo: lines that change in place on a terminal, and plain lines elsewhere. */
import readline from 'node:readline'
import { stripVTControlCharacters, styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

const isTerminal = process.stdout.isTTY === true
const width = Math.max(60, Math.min(process.stdout.columns ?? 100, 120))

export function paint(style: Style, text: string): string {
  return isTerminal ? styleText(style, text) : text
}

export function print(text = ''): void {
  process.stdout.write(`${text}\n`)
}

let steps = 0

/** Prints the heading of the next step. */
export function step(text: string): void {
  print(`\n${paint('bold', `${++steps}  ${text}`)}`)
}

export function note(text: string): void {
  print(paint('dim', text))
}

/** Lines that are redrawn in place. Without a terminal each line is printed once, when it is final. */
export class Board {
  readonly #lines: string[]
  readonly #final = new Set<number>()
  #drawn = 0

  constructor(names: readonly string[]) {
    this.#lines = names.map((name) => `${name.padEnd(10)} …`)
    if (isTerminal) this.#draw()
  }

  set(row: number, text: string): void {
    this.#lines[row] = cut(text.replaceAll('\n', ' '), width)
    if (isTerminal) this.#draw()
  }

  finish(row: number, text: string): void {
    if (this.#final.has(row)) return
    this.#final.add(row)
    this.set(row, text)
    if (!isTerminal) print(text)
  }

  #draw(): void {
    readline.moveCursor(process.stdout, 0, -this.#drawn)
    readline.cursorTo(process.stdout, 0)
    readline.clearScreenDown(process.stdout)
    process.stdout.write(this.#lines.map((line) => `${line}\n`).join(''))
    this.#drawn = this.#lines.length
  }
}

/** Prints a table, with each column as wide as its widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => length(row[at] ?? ''))))
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => cell + ' '.repeat((widths[at] ?? 0) - length(cell)))
      .join('   ')
      .trimEnd()
  print(paint('bold', line(head)))
  print(paint('dim', widths.map((size) => '─'.repeat(size)).join('   ')))
  for (const row of rows) print(line(row))
}

function length(text: string): number {
  return stripVTControlCharacters(text).length
}

function cut(text: string, size: number): string {
  const excess = length(text) - size
  return excess > 0 ? `${text.slice(0, Math.max(0, text.length - excess - 1))}…` : text
}

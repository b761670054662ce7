/** The measured process: one keeper with one load. Started by ../store.ts. */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { median } from '../report.ts'
import { createKeeper } from './keeper.ts'
import type { Keeper, LongSession, OpenLong, Said } from './keeper.ts'
import {
  appendMs,
  appendWarmUpMs,
  lastMessages,
  longSessionMessages,
  countedBytes,
  loopMessages,
  messageText,
  openings,
  turns,
} from './loads.ts'
import type { StoreFigures, StoreTask } from './loads.ts'

export interface StoreClientMessage {
  kind: 'result'
  figures: StoreFigures
}

type Figures = Omit<StoreFigures, 'cpuMs'>

const task = JSON.parse(process.argv[2] ?? '{}') as StoreTask
const messagesPerBatch = 100

process.on('disconnect', () => process.exit())
const measured = await run()
const { user, system } = process.cpuUsage()
const result: StoreClientMessage = {
  kind: 'result',
  figures: { ...measured, cpuMs: (user + system) / 1_000 },
}
process.send?.(result, () => process.exit())

function run(): Promise<Figures> {
  switch (task.load) {
    case 'append':
      return kept(append)
    case 'loop':
      return kept(loop)
    case 'turns':
      return kept(converse)
    case 'open':
      return open()
    case 'build':
      return build()
  }
}

/** Counts the written messages, and checks afterwards that they are stored. */
async function kept(measure: (keeper: Keeper) => Promise<Figures>): Promise<Figures> {
  const keeper = await createKeeper(task.keeper, task.file, task.durability)
  let written = 0
  const figures = await measure({
    ...keeper,
    add: async (conversation, messages) => {
      await keeper.add(conversation, messages)
      written += messages.length
    },
  })
  const found = await keeper.count()
  await keeper.close()
  if (found !== written) throw new Error(`${written} messages were acknowledged, ${found} are there`)
  return figures
}

async function append(keeper: Keeper): Promise<Figures> {
  const conversations = await prepared(keeper)
  const fromMs = performance.now() + appendWarmUpMs
  const untilMs = fromMs + appendMs
  const size = task.keeper === 'batched' ? messagesPerBatch : 1
  const tookMs: number[] = []
  let written = 0
  const cpuBefore = process.cpuUsage()
  await Promise.all(
    conversations.map(async (conversation) => {
      for (let number = 0, now = 0; now < untilMs; number += size) {
        const startedAt = performance.now()
        await keeper.add(conversation, said(number, size))
        now = performance.now()
        written += size
        if (now >= fromMs && now < untilMs) tookMs.push(now - startedAt)
      }
    }),
  )
  const { user, system } = process.cpuUsage(cpuBefore)
  const sorted = tookMs.sort((a, b) => a - b)
  return {
    messagesPerSecond: ((tookMs.length * size) / appendMs) * 1_000,
    writeP99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? NaN,
    cpuUsPerMessage: (user + system) / written,
  }
}

async function loop(keeper: Keeper): Promise<Figures> {
  const conversations = await prepared(keeper)
  await store(keeper, conversations) // loads modules and compiles hot code
  // All writes run at the same time while the delay is measured.
  const text = prose(countedBytes)
  const loads = [() => store(keeper, conversations), async () => keeper.countTokens?.(text)]
  await keeper.countTokens?.(text.slice(0, 100_000))
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await sleep(20) // the histogram does not record its first interval
  await Promise.all(loads.map((start) => start()))
  await sleep(20) // and records the last one only when it is over
  delay.disable()
  return { loopP99Ms: delay.percentile(99) / 1e6, loopMaxMs: delay.max / 1e6 }
}

/** Writes each message in its own iteration of the event loop, as a server does. */
async function store(keeper: Keeper, conversations: readonly string[]): Promise<void> {
  const each = loopMessages / conversations.length
  await Promise.all(
    conversations.map(async (conversation, at) => {
      for (let number = Math.ceil(at * each); number < (at + 1) * each; number++) {
        await keeper.add(conversation, said(number, 1))
        await nextTurn()
      }
    }),
  )
}

async function converse(keeper: Keeper): Promise<Figures> {
  await keeper.prepare(['warm-up', 'measured'])
  await speak(keeper, 'warm-up', 10)
  const startedAt = performance.now()
  await speak(keeper, 'measured', turns)
  return { messagesPerSecond: ((turns * 2) / (performance.now() - startedAt)) * 1_000 }
}

async function speak(keeper: Keeper, conversation: string, turns: number): Promise<void> {
  for (let number = 0; number < turns * 2; number++) await keeper.add(conversation, said(number, 1))
}

async function open(): Promise<Figures> {
  const { openLong } = (await import(task.keeper === 'convoke' ? './convoke.ts' : './better-sqlite3.ts')) as {
    openLong: OpenLong
  }
  const openMs: number[] = []
  const readMs: number[] = []
  for (let opened = 0; opened <= openings; opened++) {
    const startedAt = performance.now()
    const long = openLong(task.file)
    await checkedRead(long)
    const openedAt = performance.now()
    await checkedRead(long)
    openMs.push(openedAt - startedAt)
    readMs.push(performance.now() - openedAt)
    await long.close()
  }
  const [firstOpenMs = NaN, ...others] = openMs
  return { openMs: median(others), readMs: median(readMs), firstOpenMs }
}

async function checkedRead(long: LongSession): Promise<void> {
  const sequences = await long.readLast()
  if (sequences.length !== lastMessages || !sequences.includes(longSessionMessages))
    throw new Error('These are not the last messages')
}

async function build(): Promise<Figures> {
  const { buildLongSession } = await import('./convoke.ts')
  await buildLongSession(task.file)
  return {}
}

async function prepared(keeper: Keeper): Promise<string[]> {
  const conversations = Array.from({ length: task.callers }, (_, at) => `conversation ${at}`)
  await keeper.prepare(conversations)
  return conversations
}

function said(first: number, size: number): Said[] {
  return Array.from({ length: size }, (_, at) => ({
    role: (first + at) % 2 === 0 ? 'user' : 'assistant',
    text: messageText(first + at),
  }))
}

/** Lines of words that are in no cache yet. */
function prose(bytes: number): string {
  let seed = 1
  const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
  const letters = 'etaoinshrdlucmfwypvbgk'
  const words = Array.from({ length: 20_000 }, () =>
    Array.from({ length: 2 + Math.floor(random() * 8) }, () => letters[Math.floor(random() ** 2 * 22)]).join(
      '',
    ),
  )
  const pieces: string[] = []
  for (let length = 0; length < bytes;) {
    const piece = (words[Math.floor(random() * words.length)] ?? '') + (random() < 0.1 ? '.\n' : ' ')
    pieces.push(piece)
    length += piece.length
  }
  return pieces.join('')
}

/** The loads of the benchmark of stores, the keepers, and the goals of convoke. */

const durabilities = ['full', 'normal'] as const
export type Durability = (typeof durabilities)[number]

/**
 * The keepers, which store the same messages: convoke; better-sqlite3 on the main thread, with a hundred messages per
 * transaction or with one; and LangChain's history in a file, which has no choice of durability and never syncs.
 *
 * The OpenAI Agents SDK is left out: of its sessions for JavaScript, MemorySession stores nothing beyond its process,
 * and the others store messages at OpenAI (@openai/agents 0.20).
 */
export const keepers = ['convoke', 'batched', 'inline', 'langchain'] as const
export type KeeperName = (typeof keepers)[number]

export const loadNames = ['append', 'loop', 'open', 'turns'] as const
export type LoadName = (typeof loadNames)[number]

/** One run of one process. */
export interface StoreTask {
  /** `build` makes the long session that `open` measures. */
  load: LoadName | 'build'
  keeper: KeeperName
  durability: Durability
  callers: number
  /** A new file; for `open`, the file of the long session. */
  file: string
}

/** The measurements of one run. Each load fills in its own fields. */
export interface StoreFigures {
  messagesPerSecond?: number
  /**
   * The CPU time of the whole process, its threads and garbage collection included. A busy machine hardly changes it.
   */
  cpuUsPerMessage?: number
  /** The time of one write, from the call to its acknowledgement. */
  writeP99Ms?: number
  /** From `monitorEventLoopDelay`, whose own interval of 1 ms is included. */
  loopP99Ms?: number
  loopMaxMs?: number
  openMs?: number
  /** The time to open the first session of a process, which also loads the modules. */
  firstOpenMs?: number
  /** The time to open a session when the thread and the connection exist already. */
  readMs?: number
  cpuMs: number
}

export interface StoreMeasure {
  key: Exclude<keyof StoreFigures, 'cpuMs'>
  title: string
  digits: number
  /** Takes the highest round in place of the median. */
  isWorst?: true
  goal?: (durability: Durability, callers: number) => StoreGoal
}

/** Upper limits: for the ratio of convoke's figure to another keeper's in the same run, or for the figure itself. */
export interface StoreGoal {
  ofBatched?: number
  ofInline?: number
  atMost?: number
}

export interface Load {
  title: string
  durabilities: readonly Durability[]
  /** The numbers of concurrent callers. Each gets a row of the table. */
  callers: readonly number[]
  keepers: readonly KeeperName[]
  /** Keepers that block the event loop, and so cannot batch the writes of many callers. */
  oneCaller: readonly KeeperName[]
  measures: readonly StoreMeasure[]
}

export const appendMs = 1_500
export const appendWarmUpMs = 400
export const loopMessages = 10_000
export const countedBytes = 10_000_000
export const longSession = 'long'
export const longSessionMessages = 100_000
export const lastMessages = 50
export const openings = 15
export const turns = 1_000

export const loads: Record<LoadName, Load> = {
  append: {
    title: `one message a write, each awaited by its caller, for ${appendMs / 1_000} s`,
    durabilities,
    callers: [1, 16, 256, 4_096],
    keepers: ['convoke', 'batched', 'inline'],
    oneCaller: ['batched', 'inline'],
    measures: [
      { key: 'messagesPerSecond', title: 'messages per second', digits: 0, goal: appendGoal },
      { key: 'writeP99Ms', title: 'acknowledged p99, ms', digits: 1 },
      { key: 'cpuUsPerMessage', title: 'CPU per message, µs', digits: 0 },
    ],
  },
  loop: {
    title: `${loopMessages.toLocaleString('en')} messages stored while 10 MB of text are counted, and what the event loop has of it`,
    durabilities: ['full'],
    callers: [256, loopMessages],
    keepers: ['convoke', 'inline'],
    oneCaller: [],
    measures: [
      { key: 'loopP99Ms', title: 'event-loop delay p99, ms', digits: 1, goal: () => ({ atMost: 10 }) },
      {
        key: 'loopMaxMs',
        title: 'event-loop delay max, worst round, ms',
        digits: 1,
        isWorst: true,
        goal: () => ({ atMost: 30 }),
      },
    ],
  },
  open: {
    title: `a session of ${longSessionMessages.toLocaleString('en')} messages opened anew, and its last ${lastMessages} read`,
    durabilities: ['full'],
    callers: [1],
    keepers: ['convoke', 'batched'],
    oneCaller: [],
    measures: [
      { key: 'openMs', title: 'opened and read, median, ms', digits: 1, goal: () => ({ atMost: 20 }) },
      { key: 'readMs', title: 'in a store that is open, ms', digits: 1, goal: () => ({ atMost: 20 }) },
      { key: 'firstOpenMs', title: 'the first of its process, ms', digits: 1 },
    ],
  },
  turns: {
    title: `one conversation of ${turns.toLocaleString('en')} turns, a message a write, one after the other`,
    durabilities: ['full'],
    callers: [1],
    keepers: ['convoke', 'inline', 'langchain'],
    oneCaller: [],
    measures: [{ key: 'messagesPerSecond', title: 'messages per second', digits: 0 }],
  },
}

/**
 * Without syncs there is no goal against a transaction for each message: such a transaction then never waits, so
 * batching gains little.
 */
function appendGoal(durability: Durability, callers: number): StoreGoal {
  if (callers !== 256) return {}
  return durability === 'full' ? { ofBatched: 0.5, ofInline: 15 } : { ofBatched: 0.5 }
}

const sentence = 'The quick brown fox jumps over the lazy dog, größer and 数 counted; '

/** 400 characters, which make a row of about 530 bytes, ids included. */
export function messageText(number: number): string {
  return `${number} `.padEnd(400, sentence)
}

/** The scenarios, their subjects, and the goals of convoke. */

export const vendors = ['openai', 'anthropic', 'gemini', 'cohere', 'ollama'] as const
export type Vendor = (typeof vendors)[number]

/**
 * The subjects, which make the same requests: the vendor's bare SDK, convoke, the peers, and undici without any SDK.
 */
export const subjects = ['bare', 'convoke', 'ai', 'langchain', 'undici'] as const
export type SubjectName = (typeof subjects)[number]

export const scenarioNames = ['call', 'stream', 'paced', 'many', 'relaxed'] as const
export type ScenarioName = (typeof scenarioNames)[number]

/** A scenario: `total` requests, at most `atOnce` of them in flight, which all get the same reply. */
export interface Scenario {
  title: string
  isStream: boolean
  total: number
  atOnce: number
  /**
   * Milliseconds over which the first `atOnce` requests are spread; 0 sends them in one iteration of the event loop.
   */
  rampMs: number
  /** The pieces of text in a reply. A stream has one event for each. */
  chunks: number
  /** Milliseconds between two pieces. */
  paceMs: number
  /** The number of requests before the measurement, one after the other, which load modules and compile hot code. */
  warmUp: { requests: number; chunks: number }
  /**
   * The vendors to measure when the command line names none: those for the bare SDK and convoke, and those for the
   * peers.
   */
  vendors: { bare: readonly Vendor[]; peers: readonly Vendor[] }
  measures: Measure[]
}

/** The measurements of one process of one subject. */
export interface Figures {
  /** CPU time of the whole client process, garbage collection included, per call or per chunk. */
  cpuMsPerCall: number
  cpuUsPerChunk: number
  callsPerSecond: number
  firstChunkP50Ms: number
  firstChunkP99Ms: number
  /** From `monitorEventLoopDelay`, whose own interval of 10 ms is included. */
  loopP99Ms: number
  /** The peak of the process. */
  rssMb: number
  /** The number of requests that failed, or whose text was wrong. */
  lost: number
  /** The CPU time of the simulator as a share of the elapsed time. Near 1, the simulator was the bottleneck. */
  serverShare: number
  /** The CPU time of other processes as a share of the machine's. It makes wall times unreliable. */
  othersShare: number
}

/** A measure, which gets a row of the table for each vendor. */
export interface Measure {
  key: keyof Figures
  title: string
  digits: number
  /** Takes the highest round in place of the median, because a failure in any round is a failure. */
  isWorst?: true
  goal?: (vendor: Vendor) => Goal
}

/** Upper limits: for the ratio of convoke's figure to another subject's in the same run, or for the figure itself. */
export interface Goal {
  ofBare?: number
  ofPeers?: number
  atMost?: number
}

const everyone = { bare: vendors, peers: vendors }
const peersOnOpenAI = { bare: vendors, peers: ['openai'] } as const
const cpuPerChunk = { key: 'cpuUsPerChunk', title: 'CPU per chunk, µs', digits: 1 } as const
/** Measured in every scenario, because a subject that fails fast must not look cheap. */
const lost = (what: 'calls' | 'streams'): Measure => ({
  key: 'lost',
  title: `${what} lost, worst round`,
  digits: 0,
  isWorst: true,
  goal: () => ({ atMost: 0 }),
})
/** The warm-up of scenarios with a thousand streams. A process with so many streams is warm in practice, too. */
const warmUp = { requests: 200, chunks: 50 }

function underLoad(
  cpuOfBare: number | undefined,
  firstOfBare: number,
  loopMs: number | undefined,
): Measure[] {
  return [
    { ...cpuPerChunk, ...(cpuOfBare !== undefined && { goal: () => ({ ofBare: cpuOfBare }) }) },
    {
      key: 'firstChunkP50Ms',
      title: 'first chunk p50, ms',
      digits: 0,
      goal: () => ({ ofBare: firstOfBare }),
    },
    { key: 'firstChunkP99Ms', title: 'first chunk p99, ms', digits: 0 },
    {
      key: 'loopP99Ms',
      title: 'event-loop delay p99, ms',
      digits: 0,
      ...(loopMs !== undefined && { goal: () => ({ atMost: loopMs }) }),
    },
    { key: 'rssMb', title: 'highest RSS, MB', digits: 0 },
    lost('streams'),
  ]
}

export const scenarios: Record<ScenarioName, Scenario> = {
  call: {
    title: '3,000 calls, 100 at once, after 200 that do not count',
    isStream: false,
    total: 3_000,
    atOnce: 100,
    rampMs: 0,
    chunks: 50,
    paceMs: 0,
    warmUp,
    vendors: everyone,
    measures: [
      {
        key: 'cpuMsPerCall',
        title: 'CPU per call, ms',
        digits: 3,
        goal: (vendor) => ({ ofBare: vendor === 'gemini' ? 1.1 : 0.7 }),
      },
      { key: 'callsPerSecond', title: 'calls per second', digits: 0 },
      lost('calls'),
    ],
  },
  stream: {
    title: 'one stream of 20,000 chunks, ten times after two that do not count',
    isStream: true,
    total: 10,
    atOnce: 1,
    rampMs: 0,
    chunks: 20_000,
    paceMs: 0,
    warmUp: { requests: 2, chunks: 20_000 },
    vendors: everyone,
    measures: [{ ...cpuPerChunk, goal: () => ({ ofBare: 0.7, ofPeers: 0.4 }) }, lost('streams')],
  },
  paced: {
    title: '1,000 streams × 50 chunks at 20 ms, all at once, after 200 that do not count',
    isStream: true,
    total: 1_000,
    atOnce: 1_000,
    rampMs: 0,
    chunks: 50,
    paceMs: 20,
    warmUp,
    vendors: peersOnOpenAI,
    measures: underLoad(0.8, 0.4, 60),
  },
  many: {
    title: '4,000 streams × 25 chunks at 200 ms, arriving within 3 s, after 200 that do not count',
    isStream: true,
    total: 4_000,
    atOnce: 4_000,
    // Spread, because connections in a single burst would measure the simulator's accept loop as much as the client.
    rampMs: 3_000,
    chunks: 25,
    paceMs: 200,
    warmUp,
    vendors: peersOnOpenAI,
    measures: underLoad(undefined, 0.2, undefined),
  },
  relaxed: {
    title: '100 streams × 500 chunks at 20 ms, after 200 that do not count',
    isStream: true,
    total: 100,
    atOnce: 100,
    rampMs: 0,
    chunks: 500,
    paceMs: 20,
    warmUp,
    vendors: { bare: ['openai'], peers: ['openai'] },
    measures: [cpuPerChunk, lost('streams')],
  },
}

/** Real model names, because for unknown ones the peers warn at each call, and convoke has no price. */
export const models: Record<Vendor, string> = {
  openai: 'gpt-4o-mini',
  anthropic: 'claude-haiku-4-5',
  gemini: 'gemini-2.5-flash',
  cohere: 'command-a-03-2025',
  ollama: 'llama3.2',
}
export const prompt = 'Count, please.'

export const warmUpPrompt = 'Warm up, please.'

const words = ['one', ' river', ' of', ' light', ' größer', ', and', ' small', ' things', '.', ' 数']

/** Pieces of about five characters, like tokens. Some have numbers, so that lost or swapped pieces are noticed. */
export function replyChunks(count: number): string[] {
  return Array.from({ length: count }, (_, at) => (at % 10 === 9 ? ` ${at}` : (words[at % 10] ?? '')))
}

/** What is measured of blocking calls, beside whom, and what convoke is held to. */
import type { Vendor } from '../scenarios.ts'

/**
 * Who makes the same calls: convoke's `generate()` and its awaited `agenerate()`; OpenAI's SDK as it is; and what a
 * script would otherwise block by: a synckit worker, or a process for each call, both with OpenAI's SDK.
 */
export const callers = ['blocking', 'awaited', 'bare', 'synckit', 'spawn'] as const
export type CallerName = (typeof callers)[number]

export const loadNames = ['call', 'pinned', 'first', 'stream', 'throughput'] as const
export type LoadName = (typeof loadNames)[number]

/** One run of one process. */
export interface BlockingTask {
  load: LoadName
  caller: CallerName
  vendor: Vendor
  baseURL: string
}

/** What one process measured; a load fills in what it is about. */
export interface BlockingFigures {
  /** Wall time over calls, one after the other. */
  callMs?: number
  callP50Ms?: number
  /** Of the whole process, its threads and garbage collection included; not of processes that it starts. */
  cpuMsPerCall?: number
  /** From before the library's import to the first reply; the bench's own modules are loaded by then. */
  startMs?: number
  /** From the call to its reply. */
  firstCallMs?: number
  chunksPerSecond?: number
  cpuUsPerChunk?: number
  /** That `callsOfMany` calls take. */
  manySeconds?: number
  /** Replies that failed, or whose text was not the text that was sent. */
  lost: number
  cpuMs: number
}

export interface BlockingMeasure {
  key: Exclude<keyof BlockingFigures, 'cpuMs'>
  title: string
  digits: number
  /** The highest of the rounds, not their median: what failed in one of them has failed. */
  isWorst?: true
  goal?: BlockingGoal
}

/** Of the blocking call's figure: in multiples of the awaited one's in the same run, or in itself. */
export interface BlockingGoal {
  atMostOfAwaited?: number
  atLeastOfAwaited?: number
  atMost?: number
}

export interface Load {
  title: string
  callers: readonly CallerName[]
  /** Pieces of text in a reply. */
  chunks: number
  /** Before the headers of every reply that counts. */
  latencyMs: number
  /** In one round. */
  processes: number
  /** One after the other before the clock starts: modules and threads are loaded then, and hot code compiled. */
  warmUp: number
  /** Calls or streams on the clock. */
  total: number
  measures: readonly BlockingMeasure[]
  /** Caller and simulator stay on a core each, by `taskset`. */
  isPinned?: true
}

export const callsOfMany = 450
/** Of those, as many are made where they go one after the other. */
const measuredOfMany = 20
/** A process for each call is slow, and has nothing to warm up but the disk. */
export const spawned = { warmUp: 1, total: 8 }

const lost: BlockingMeasure = {
  key: 'lost',
  title: 'replies lost, worst round',
  digits: 0,
  isWorst: true,
  goal: { atMost: 0 },
}

const call: Load = {
  title: `3,000 calls at zero latency one after the other, after 500 that do not count (spawnSync ${spawned.total} after ${spawned.warmUp})`,
  callers,
  chunks: 50,
  latencyMs: 0,
  processes: 1,
  warmUp: 500,
  total: 3_000,
  measures: [
    { key: 'callMs', title: 'wall time per call, ms', digits: 3, goal: { atMostOfAwaited: 1.3 } },
    { key: 'callP50Ms', title: 'wall time of a call, p50, ms', digits: 3 },
    { key: 'cpuMsPerCall', title: 'CPU per call, ms', digits: 3 },
    lost,
  ],
}

export const loads: Record<LoadName, Load> = {
  call,
  // What is left out is waking a thread on another core, which costs 60 to 100 µs on some virtual machines.
  pinned: {
    ...call,
    title: 'as call, the process that calls and the simulator on a core each',
    callers: ['blocking', 'awaited', 'bare', 'synckit'],
    isPinned: true,
  },
  first: {
    title: 'the first call of a process, five processes in each round',
    callers,
    chunks: 50,
    latencyMs: 0,
    processes: 5,
    warmUp: 0,
    total: 1,
    measures: [
      { key: 'startMs', title: 'import and first call, ms', digits: 0 },
      { key: 'firstCallMs', title: 'first call, convoke imported, ms', digits: 0 },
      lost,
    ],
  },
  stream: {
    title: 'one unpaced stream of 20,000 chunks, ten times after two that do not count',
    callers: ['blocking', 'awaited', 'bare'],
    chunks: 20_000,
    latencyMs: 0,
    processes: 1,
    warmUp: 2,
    total: 10,
    measures: [
      { key: 'chunksPerSecond', title: 'chunks per second', digits: 0, goal: { atLeastOfAwaited: 0.5 } },
      { key: 'cpuUsPerChunk', title: 'CPU per chunk, µs', digits: 1 },
      lost,
    ],
  },
  throughput: {
    title: `${callsOfMany} calls at 200 ms latency, after 100 without that do not count: awaited by one Promise.all; one after the other where they block, of which ${measuredOfMany} are made, and taken × ${callsOfMany / measuredOfMany}`,
    callers: ['blocking', 'awaited', 'bare', 'synckit'],
    chunks: 50,
    latencyMs: 200,
    processes: 1,
    warmUp: 100,
    total: measuredOfMany,
    measures: [
      {
        key: 'manySeconds',
        title: `${callsOfMany} calls, s`,
        digits: 2,
        goal: { atLeastOfAwaited: 90 },
      },
      lost,
    ],
  },
}

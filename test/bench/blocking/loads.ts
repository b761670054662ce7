/** The loads of the benchmark of blocking calls, the callers, and the goals of convoke. */
import type { Vendor } from '../scenarios.ts'

/**
 * The callers, which make the same calls: convoke's `generate()`, its awaited `agenerate()`, OpenAI's bare SDK, and the
 * two other ways to block a script: a synckit worker, and a process for each call, both with OpenAI's SDK.
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

/** The measurements of one process. Each load fills in its own fields. */
export interface BlockingFigures {
  /** The wall time of a call, averaged over sequential calls. */
  callMs?: number
  callP50Ms?: number
  /** The CPU time of the whole process, its threads and garbage collection included, but without child processes. */
  cpuMsPerCall?: number
  /** The time from the import of the library to the first reply. The benchmark's own modules are loaded before. */
  startMs?: number
  /** The time from a call to its reply. */
  firstCallMs?: number
  chunksPerSecond?: number
  cpuUsPerChunk?: number
  /** The time of `callsOfMany` calls. */
  manySeconds?: number
  /** The number of replies that failed, or whose text was wrong. */
  lost: number
  cpuMs: number
}

export interface BlockingMeasure {
  key: Exclude<keyof BlockingFigures, 'cpuMs'>
  title: string
  digits: number
  /** Takes the highest round in place of the median, because a failure in any round is a failure. */
  isWorst?: true
  goal?: BlockingGoal
}

/**
 * Upper limits: for the ratio of the blocking call's figure to the awaited call's in the same run, or for the figure.
 */
export interface BlockingGoal {
  atMostOfAwaited?: number
  atLeastOfAwaited?: number
  atMost?: number
}

export interface Load {
  title: string
  callers: readonly CallerName[]
  /** The pieces of text in a reply. */
  chunks: number
  /** Milliseconds before the headers of every measured reply. */
  latencyMs: number
  /** The number of processes in one round. */
  processes: number
  /** The number of sequential calls before the measurement, which load modules, start threads and compile hot code. */
  warmUp: number
  /** The number of measured calls or streams. */
  total: number
  measures: readonly BlockingMeasure[]
  /** Pins the caller and the simulator to a core each, with `taskset`. */
  isPinned?: true
}

export const callsOfMany = 450
/** How many of these calls are made to measure callers that make them one after the other. */
const measuredOfMany = 20
/** Fewer calls for spawnSync: a process for each call is slow, and only the disk cache can be warmed up. */
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
  // Pinning excludes the time to wake a thread on another core, which is 60 to 100 µs on some virtual machines.
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

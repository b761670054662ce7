/** Counts texts: short ones on the calling thread, long ones in worker threads. */
import { availableParallelism } from 'node:os'
import { estimateTokenCount } from 'tokenx'
import { WorkerPool } from '../threads/worker-pool.ts'
import type { TokenizeTask, TokenizeValue, Vocabulary } from './protocol.ts'
import { MergeTable } from './bpe/merge-table.ts'
import { Slices } from './bpe/slices.ts'
import { Tokenizer } from './bpe/tokenizer.ts'

/**
 * The UTF-16 units that are counted on the calling thread per iteration of its event loop. Further texts in the same
 * iteration go to the pool, so that a loop over many short texts does not block the thread either. Measured on two
 * cores (test/bench/tokens.ts): 4 000 units take 0.17 ms on the calling thread and 0.26 ms in the pool. Up to 16 000
 * units the pool is never faster (0.57 against 0.73 ms); the limit is lower because the event loop's time matters more.
 */
const inlineUnits = 4_096
/** The approximate units of a task, from one text or from several. */
const taskUnits = 65_536
/** The fixed cost of a text, in units. It limits a task to about a thousand texts. */
const textUnits = 64
/** Failed searches for a place to cut, of 0.2 ms each, after which the event loop gets its turn. */
const searchesPerIteration = 4
/** How long an unused thread stays alive. */
const idleMs = 30_000

const threads = availableParallelism()
const pool = new WorkerPool<TokenizeTask, TokenizeValue>('tokenize', { maxThreads: threads, idleMs })

/** One call of `count` that needs worker threads. */
interface Job {
  slices: Slices
  /** Slices that were sent to a thread and not counted yet. */
  inFlight: number
  /** The sum of the slices that are counted. */
  tokens: number
  hasFailed: boolean
  resolve(tokens: number): void
  reject(error: unknown): void
}

/** Counts with one vocabulary. */
class Counter {
  readonly #vocabulary: Vocabulary
  #table: SharedArrayBuffer | undefined
  #loading: Promise<void> | undefined
  #count: ((text: string) => number) | undefined
  #inlineLeft = inlineUnits
  /** Jobs are served round-robin, one slice at a time, so that a long text does not delay a short one. */
  #round: (Job | undefined)[] = []
  /** The index in `#round` of the job that is served next. */
  #nextIndex = 0
  #nextRound: Job[] = []
  #runningTasks = 0
  #failedSearches = 0
  /** True while no slices are cut, so that the event loop gets its turn. */
  #isYielding = false

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary
    if (vocabulary === 'estimate') this.#count = (text) => (text === '' ? 0 : estimateTokenCount(text))
  }

  async count(texts: readonly string[]): Promise<number> {
    const units = texts.reduce((sum, text) => sum + text.length, 0)
    if (units === 0) return 0
    if (!this.#count) await (this.#loading ??= this.#load())
    if (units <= this.#inlineLeft) return this.#countInline(texts, units)
    return new Promise((resolve, reject) => {
      const slices = new Slices(texts, taskUnits)
      this.#nextRound.push({ slices, inFlight: 0, tokens: 0, hasFailed: false, resolve, reject })
      this.#send()
    })
  }

  /** Lets a thread build the merge table, once. After a failure the next count tries again. */
  async #load(): Promise<void> {
    const vocabulary = this.#vocabulary as Exclude<Vocabulary, 'estimate'>
    try {
      const { table } = await pool.run({ vocabulary, texts: [] })
      this.#table = table as SharedArrayBuffer
      const tokenizer = new Tokenizer(vocabulary, new MergeTable(this.#table))
      this.#count = (text) => tokenizer.count(text)
    } finally {
      this.#loading = undefined
    }
  }

  #countInline(texts: readonly string[], units: number): number {
    if (this.#inlineLeft === inlineUnits) setImmediate(() => (this.#inlineLeft = inlineUnits)).unref()
    this.#inlineLeft -= units
    const count = this.#count as (text: string) => number
    return texts.reduce((sum, text) => sum + count(text), 0)
  }

  /** Keeps two tasks per thread in flight: one that runs, and one that can follow without a pause. */
  #send(): void {
    while (this.#runningTasks < 2 * threads && !this.#isYielding) {
      const parts = this.#nextTask()
      if (parts.length > 0) void this.#run(parts)
      if (this.#isYielding || parts.length === 0) return
    }
  }

  /** Cuts the slices of one task; empty when no job has any left. */
  #nextTask(): { job: Job; text: string }[] {
    const parts: { job: Job; text: string }[] = []
    for (let units = 0; units < taskUnits && !this.#isYielding;) {
      const job = this.#nextJob()
      if (!job) break
      if (job.hasFailed) continue
      const text = job.slices.next()
      if (text === undefined) {
        this.#countFailedSearch()
      } else {
        parts.push({ job, text })
        job.inFlight++
        units += text.length + textUnits
      }
      if (!job.slices.isDone) this.#nextRound.push(job)
    }
    return parts
  }

  #nextJob(): Job | undefined {
    if (this.#nextIndex === this.#round.length) {
      this.#round = this.#nextRound
      this.#nextRound = []
      this.#nextIndex = 0
    }
    const job = this.#round[this.#nextIndex]
    // Dropped at once, because a job may hold megabytes of text.
    if (job) this.#round[this.#nextIndex++] = undefined
    return job
  }

  #countFailedSearch(): void {
    if (++this.#failedSearches < searchesPerIteration) return
    this.#isYielding = true
    setImmediate(() => {
      this.#isYielding = false
      this.#failedSearches = 0
      this.#send()
    })
  }

  async #run(parts: readonly { job: Job; text: string }[]): Promise<void> {
    this.#runningTasks++
    try {
      const { counts } = await pool.run({
        vocabulary: this.#vocabulary,
        ...(this.#table ? { table: this.#table } : {}),
        texts: parts.map(({ text }) => text),
      })
      for (const [index, { job }] of parts.entries()) {
        job.tokens += counts[index] as number
        job.inFlight--
        if (job.inFlight === 0 && job.slices.isDone) job.resolve(job.tokens)
      }
    } catch (error) {
      for (const { job } of parts) {
        job.hasFailed = true
        job.reject(error)
      }
    }
    this.#runningTasks--
    this.#send()
  }
}

const counters = new Map<Vocabulary, Counter>()

/**
 * The sum of the tokens of several texts, each counted by itself.
 * @throws ConvokeError `missing_dependency` when the vocabulary's file cannot be read, `worker_lost` when threads keep
 * dying
 */
export function countTexts(texts: readonly string[], vocabulary: Vocabulary): Promise<number> {
  let counter = counters.get(vocabulary)
  if (!counter) {
    counter = new Counter(vocabulary)
    counters.set(vocabulary, counter)
  }
  return counter.count(texts)
}

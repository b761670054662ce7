/** Where texts are counted: few characters at once on the calling thread, more of them by worker threads. */
import { availableParallelism } from 'node:os'
import { estimateTokenCount } from 'tokenx'
import { WorkerPool } from '../threads/worker-pool.ts'
import type { TokenizeTask, TokenizeValue, Vocabulary } from './protocol.ts'
import { MergeTable } from './bpe/merge-table.ts'
import { Slices } from './bpe/slices.ts'
import { Tokenizer } from './bpe/tokenizer.ts'

/**
 * So many UTF-16 units are counted on the calling thread within one turn of its event loop. What is beyond that in the
 * same turn goes to the pool, so that a loop over many short texts does not hold up the thread either. Measured on two
 * cores (test/bench/tokens.ts): 4 000 take 0.17 ms inline, 0.26 ms by the pool. The pool never answers sooner up to
 * 16 000 (0.57 against 0.73 ms); the border is where the event loop's time begins to matter.
 */
const inlineUnits = 4_096
/** A task holds about so many units, of one text or of several. */
const taskUnits = 65_536
/** What a text costs beside its characters, as units: a task holds about a thousand texts at most. */
const textUnits = 64
/** Searches for a place to cut, each of a slice's length and 0.2 ms, before the event loop goes round. */
const searchesPerTurn = 4
const idleMs = 30_000

const threads = availableParallelism()
const pool = new WorkerPool<TokenizeTask, TokenizeValue>('tokenize', { maxThreads: threads, idleMs })

/** One count that waits for worker threads. */
interface Job {
  slices: Slices
  /** Slices that are with a thread. */
  out: number
  tokens: number
  hasFailed: boolean
  resolve(tokens: number): void
  reject(error: unknown): void
}

/** Counts by one vocabulary. */
class Counter {
  readonly #vocabulary: Vocabulary
  #table: SharedArrayBuffer | undefined
  #loading: Promise<void> | undefined
  #count: ((text: string) => number) | undefined
  #inlineLeft = inlineUnits
  /** Jobs take turns, a slice in each: a long text holds up no short one. */
  #round: (Job | undefined)[] = []
  #at = 0
  #nextRound: Job[] = []
  #tasks = 0
  #searches = 0
  #isResting = false

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
      this.#nextRound.push({ slices, out: 0, tokens: 0, hasFailed: false, resolve, reject })
      this.#send()
    })
  }

  /** The table is built in a thread, once for all. A failure is forgotten: the next count tries again. */
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

  /** Keeps two tasks for each thread under way: one that runs, and one to follow at once. */
  #send(): void {
    while (this.#tasks < 2 * threads && !this.#isResting) {
      const parts = this.#gather()
      if (parts.length > 0) void this.#run(parts)
      if (this.#isResting || parts.length === 0) return
    }
  }

  /** The slices of a task. */
  #gather(): { job: Job; text: string }[] {
    const parts: { job: Job; text: string }[] = []
    for (let units = 0; units < taskUnits && !this.#isResting;) {
      const job = this.#next()
      if (!job) break
      if (job.hasFailed) continue
      const text = job.slices.next()
      if (text === undefined) {
        this.#searched()
      } else {
        parts.push({ job, text })
        job.out++
        units += text.length + textUnits
      }
      if (!job.slices.isDone) this.#nextRound.push(job)
    }
    return parts
  }

  #next(): Job | undefined {
    if (this.#at === this.#round.length) {
      this.#round = this.#nextRound
      this.#nextRound = []
      this.#at = 0
    }
    const job = this.#round[this.#at]
    // What has had its turn may hold megabytes of text.
    if (job) this.#round[this.#at++] = undefined
    return job
  }

  #searched(): void {
    if (++this.#searches < searchesPerTurn) return
    this.#isResting = true
    setImmediate(() => {
      this.#isResting = false
      this.#searches = 0
      this.#send()
    })
  }

  async #run(parts: readonly { job: Job; text: string }[]): Promise<void> {
    this.#tasks++
    try {
      const { counts } = await pool.run({
        vocabulary: this.#vocabulary,
        ...(this.#table ? { table: this.#table } : {}),
        texts: parts.map(({ text }) => text),
      })
      for (const [index, { job }] of parts.entries()) {
        job.tokens += counts[index] as number
        job.out--
        if (job.out === 0 && job.slices.isDone) job.resolve(job.tokens)
      }
    } catch (error) {
      for (const { job } of parts) {
        job.hasFailed = true
        job.reject(error)
      }
    }
    this.#tasks--
    this.#send()
  }
}

const counters = new Map<Vocabulary, Counter>()

/**
 * Tokens of texts, each counted by itself.
 * @throws ConvokeError `missing_dependency` without the vocabulary's file, `worker_lost` when threads keep dying
 */
export function countTexts(texts: readonly string[], vocabulary: Vocabulary): Promise<number> {
  let counter = counters.get(vocabulary)
  if (!counter) {
    counter = new Counter(vocabulary)
    counters.set(vocabulary, counter)
  }
  return counter.count(texts)
}

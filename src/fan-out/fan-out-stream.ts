/**
 * FanOutStream: the chunks of many replies in one loop, each with the key of its member.
 *
 * Room `fan-out`: one prompt for many LLMs. Imported by `blocking/thread`, `consensus`, `index`.
 */
import { setImmediate as yieldToEventLoop } from 'node:timers/promises'
import { ConvokeError } from '../errors.ts'
import { promptFor } from './members.ts'
import type { MemberResult, MemberStream, PromptForMembers } from './members.ts'
import type { MemberCall } from './member-call.ts'
import type { StreamChunk } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

/** The last chunk of a member that failed; the others go on. */
export interface MemberErrorChunk {
  type: 'error'
  content: ''
  /** Why the member failed, with what had arrived as `error.partial`. */
  error: ConvokeError
}

/** A chunk of one member's reply, with the member's key and position. */
export type MemberChunk = (StreamChunk | MemberErrorChunk) & { member: string; index: number }

/** One member's reply while it is read. */
interface MemberReading {
  call: MemberCall
  stream: MemberStream | undefined
  result: Promise<MemberResult> | undefined
  /** Why there is no stream: the error of the prompt function or of the member's `stream`. */
  startError: unknown
}

/**
 * `fanOut(llms, prompt, { stream: true })` gives this. All requests are sent at once. Iterate it once: members take turns,
 * so that a fast one delays no other; each member's chunks end with `finish` or `error`. Leaving the loop cancels all
 * members that still run and closes their sockets. Each member holds at most its `bufferSize` of chunks for a slow reader.
 */
export class FanOutStream<Results> implements AsyncIterable<MemberChunk>, AsyncDisposable {
  readonly #readings: MemberReading[]
  readonly #shaped: (results: MemberResult[]) => Results
  #isRead = false

  /** @internal */
  constructor(
    calls: readonly MemberCall[],
    prompt: PromptForMembers,
    options: GenerateOptions,
    shaped: (results: MemberResult[]) => Results,
  ) {
    this.#shaped = shaped
    this.#readings = calls.map((call) => {
      const { slot, signal } = call
      try {
        const stream = slot.member.stream(promptFor(prompt, slot), { ...options, signal })
        return { call, stream, result: undefined, startError: undefined }
      } catch (startError) {
        return { call, stream: undefined, result: undefined, startError }
      }
    })
  }

  /**
   * The members' results at the end, as `fanOut` without `stream` gives them. Never rejects. Where nobody reads the chunks,
   * the replies are read to their ends.
   */
  get results(): Promise<Results> {
    return Promise.all(this.#readings.map(resultOf)).then(this.#shaped)
  }

  /** Ends all members that still run, each with `cancelled`. */
  cancel(reason?: unknown): void {
    for (const reading of this.#readings) {
      reading.call.cancel(reason ?? 'the stream was cancelled')
      void resultOf(reading)
    }
  }

  /** @throws ConvokeError `invalid_request` when it is read a second time */
  [Symbol.asyncIterator](): AsyncGenerator<MemberChunk, void, void> {
    if (this.#isRead) {
      throw new ConvokeError(
        'invalid_request',
        "This stream has been read already. Read it once, or take the members' results from stream.results.",
      )
    }
    this.#isRead = true
    return this.#read()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel('the stream was disposed')
    await this.results
  }

  async *#read(): AsyncGenerator<MemberChunk, void, void> {
    try {
      yield* new Interleaving(this.#readings).chunks()
    } finally {
      this.cancel('the loop was left')
      await this.results
    }
  }
}

/**
 * After this many chunks in a row the event loop gets a turn: a member whose chunks are all buffered must not keep the
 * sockets of the others unread.
 */
const chunksInARow = 64

/** The next step of a member: a chunk, its regular end (neither chunk nor error), or its failure. */
interface MemberStep {
  reading: MemberReading
  iterator?: AsyncIterator<StreamChunk>
  chunk?: StreamChunk
  hasFailed?: true
}

/**
 * Interleaves the chunks of all members. Each member has at most one step in the queue, and its next one is read when
 * that was taken, so a member that is faster than the reader gets no more than the others.
 */
class Interleaving {
  readonly #readings: readonly MemberReading[]
  readonly #queue: MemberStep[] = []
  #wake = () => {}

  constructor(readings: readonly MemberReading[]) {
    this.#readings = readings
  }

  async *chunks(): AsyncGenerator<MemberChunk, void, void> {
    const open = new Set(this.#readings)
    for (const reading of this.#readings) this.#start(reading)
    for (let count = 1; open.size > 0; count++) {
      if (count % chunksInARow === 0) await yieldToEventLoop()
      const { reading, iterator, chunk, hasFailed } = await this.#take()
      // A member that was abandoned may still give chunks.
      if (!open.has(reading)) continue
      const { key: member, index } = reading.call.slot
      if (chunk && iterator) {
        yield { ...chunk, member, index }
        this.#readNext(reading, iterator)
        continue
      }
      open.delete(reading)
      const result = hasFailed && (await resultOf(reading))
      if (result?.error) yield { type: 'error', content: '', error: result.error, member, index }
    }
  }

  #start(reading: MemberReading): void {
    const iterator = reading.stream?.[Symbol.asyncIterator]()
    // The iterator comes first: without one, asking for `response` would read the stream without a bound.
    void resultOf(reading).then(() => reading.call.isAbandoned && this.#add({ reading, hasFailed: true }))
    if (iterator) this.#readNext(reading, iterator)
    else this.#add({ reading, hasFailed: true })
  }

  #readNext(reading: MemberReading, iterator: AsyncIterator<StreamChunk>): void {
    iterator.next().then(
      ({ done, value }) => this.#add(done ? { reading } : { reading, iterator, chunk: value as StreamChunk }),
      () => this.#add({ reading, hasFailed: true }),
    )
  }

  #add(step: MemberStep): void {
    this.#queue.push(step)
    this.#wake()
  }

  async #take(): Promise<MemberStep> {
    if (this.#queue.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.#queue.shift() as MemberStep
  }
}

function resultOf(reading: MemberReading): Promise<MemberResult> {
  const { call, stream, startError } = reading
  return (reading.result ??= call.settle(() => stream?.response ?? Promise.reject(startError as Error)))
}

/** FanOutStream: the chunks of many replies in one loop, each with the name of its member. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ConvokeError } from '../errors.ts'
import { promptFor } from './members.ts'
import type { MemberResult, MemberStream, PromptForMembers } from './members.ts'
import type { MemberCall } from './member-call.ts'
import type { StreamChunk } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

/** The end of a member that failed; the others go on. */
export interface MemberErrorChunk {
  type: 'error'
  content: ''
  error: ConvokeError
}

/** A chunk of one member's reply, with its member's key and place. */
export type MemberChunk = (StreamChunk | MemberErrorChunk) & { member: string; index: number }

/** One member's reply, on its way. */
interface Reading {
  call: MemberCall
  stream: MemberStream | undefined
  settled: Promise<MemberResult> | undefined
  /** Why there is no stream. */
  refused: unknown
}

/**
 * What `fanOut(llms, prompt, { stream: true })` gives. All requests are sent at once. Iterate it once: members take turns,
 * so that a fast one delays no other; the chunks of each end by `finish` or `error`. Leaving the loop cancels all that
 * still run and closes their sockets. Each member holds at most its `bufferSize` of chunks for a slow reader.
 */
export class FanOutStream<Results> implements AsyncIterable<MemberChunk>, AsyncDisposable {
  readonly #readings: Reading[]
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
        return { call, stream, settled: undefined, refused: undefined }
      } catch (error) {
        return { call, stream: undefined, settled: undefined, refused: error }
      }
    })
  }

  /**
   * What became of each, at the end, as `fanOut` without `stream` gives it. Never rejects. Where nobody reads the chunks,
   * the replies are read to their ends.
   */
  get results(): Promise<Results> {
    return Promise.all(this.#readings.map(settled)).then(this.#shaped)
  }

  /** Ends all that still run, each with `cancelled`. */
  cancel(reason?: unknown): void {
    for (const reading of this.#readings) {
      reading.call.cancel(reason ?? 'the stream was cancelled')
      void settled(reading)
    }
  }

  /** @throws ConvokeError `invalid_request` when it is read a second time */
  [Symbol.asyncIterator](): AsyncGenerator<MemberChunk, void, void> {
    if (this.#isRead) {
      throw new ConvokeError(
        'invalid_request',
        'This stream has been read already. Read it once, or take what became of each from stream.results.',
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
      yield* inTurns(this.#readings)
    } finally {
      this.cancel('the loop was left')
      await this.results
    }
  }
}

/** So many chunks in a row, and the event loop has its turn: a source that never waits must not keep sockets unread. */
const chunksInARow = 64

/**
 * Whoever has a chunk stands in line with one, and again when it was taken. A member that is faster than the reader has
 * one place in line, as all others.
 */
async function* inTurns(readings: readonly Reading[]): AsyncGenerator<MemberChunk, void, void> {
  const line: {
    reading: Reading
    iterator?: AsyncIterator<StreamChunk>
    chunk?: StreamChunk
    error?: true
  }[] = []
  let wake = () => {}
  const queue = (entry: (typeof line)[number]) => {
    line.push(entry)
    wake()
  }
  const ask = (reading: Reading, iterator: AsyncIterator<StreamChunk>) =>
    void iterator.next().then(
      ({ done, value }) => queue(done ? { reading } : { reading, iterator, chunk: value as StreamChunk }),
      () => queue({ reading, error: true }),
    )
  const open = new Set(readings)
  for (const reading of readings) {
    const iterator = reading.stream?.[Symbol.asyncIterator]()
    // Behind the start of the reading: asked for before, `response` would read the stream without bound.
    void settled(reading).then(() => reading.call.isLeft && queue({ reading, error: true }))
    if (iterator) ask(reading, iterator)
    else queue({ reading, error: true })
  }
  for (let count = 1; open.size > 0; count++) {
    if (count % chunksInARow === 0) await nextTurn()
    if (line.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    const { reading, iterator, chunk, error } = line.shift() as (typeof line)[number]
    // One that was left may speak up yet.
    if (!open.has(reading)) continue
    const { key: member, index } = reading.call.slot
    if (chunk && iterator) {
      yield { ...chunk, member, index }
      ask(reading, iterator)
      continue
    }
    open.delete(reading)
    const result = error && (await settled(reading))
    if (result?.error) yield { type: 'error', content: '', error: result.error, member, index }
  }
}

function settled(reading: Reading): Promise<MemberResult> {
  const { call, stream, refused } = reading
  return (reading.settled ??= call.settle(() => stream?.response ?? Promise.reject(refused as Error)))
}

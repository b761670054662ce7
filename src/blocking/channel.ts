/**
 * The calling thread's side of a blocking call: it sends the call to a thread of its own, and sleeps until there is news.
 * The event loop of a thread that sleeps so stands still, so all that it knows of the other is what they share: memory,
 * the messages that wait in a port, and a file descriptor that ends with its thread.
 */
import { fstatSync, statSync } from 'node:fs'
import { devNull } from 'node:os'
import { MessageChannel, receiveMessageOnPort, SHARE_ENV, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { ConvokeError } from '../errors.ts'
import { cells } from '../protocol.ts'
import type { BlockingNews, BlockingOrder, BlockingStart } from '../protocol.ts'
import { threadArguments } from '../thread-arguments.ts'
import { unavailable } from './in-flight.ts'

type Call = Omit<Extract<BlockingOrder, { kind: 'call' }>, 'kind' | 'id'>

/** Between two looks at the thread's health. */
const lookMs = 100
/** How long a thread that starts may be silent: on a busy machine, its modules take seconds. */
const startMs = 20_000
/** A thread that gives no sign of life for so long hangs, however patient the call is. */
const longestSilenceMs = 30_000
/** And this longer than the call's own limit, which the thread keeps itself while it lives. */
const graceMs = 1_000

let channel: Channel | undefined
let lastId = 0

/**
 * Begins a call in the blocking thread, which is started at the first one.
 * @param totalMs after so long without a sign of life of the thread, the call ends with `timeout`
 */
export function beginBlocking(call: Call, totalMs: number): BlockingCall {
  channel ??= new Channel()
  return new BlockingCall(channel, call, Math.min(totalMs, longestSilenceMs) + graceMs)
}

/** An LLM or session is closed, or gone: so is its twin. */
export function forget(id: number): void {
  channel?.send({ kind: 'forget', id })
}

/** LLMs and sessions that nobody has any more, by their ids. */
export const gone = new FinalizationRegistry<number>(forget)

/** For calls, LLMs and sessions. */
export function nextId(): number {
  return ++lastId
}

/** A call that runs in the blocking thread. */
export class BlockingCall {
  readonly #channel: Channel
  readonly #id = nextId()
  readonly #silenceMs: number

  constructor(on: Channel, call: Call, silenceMs: number) {
    this.#channel = on
    this.#silenceMs = silenceMs
    on.begin({ kind: 'call', id: this.#id, ...call })
  }

  /**
   * Blocks until there is news of it.
   * @throws ConvokeError `timeout` when the thread hangs, `worker_lost` when it died; both make way for a new one
   */
  wait(): BlockingNews {
    const news = this.#channel.wait(this.#id, this.#silenceMs)
    if (news.end) this.#channel.end(this.#id)
    return news
  }

  taken(count: number): void {
    this.#channel.send({ kind: 'taken', id: this.#id, count })
  }

  cancel(reason: string): void {
    this.#channel.send({ kind: 'cancel', id: this.#id, reason })
  }
}

class Channel {
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #memory = new Int32Array(new SharedArrayBuffer(Object.keys(cells).length * 4))
  /** Of the calls that run. */
  readonly #news = new Map<number, BlockingNews>()
  #lost: ConvokeError | undefined

  constructor() {
    const { port1, port2 } = new MessageChannel()
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const workerData: BlockingStart = { port: port2, memory: this.#memory }
    this.#port = port1
    this.#worker = new Worker(new URL(`../../workers/blocking.${extension}`, import.meta.url), {
      name: 'convoke blocking',
      env: SHARE_ENV,
      // As a main thread has; a thread's own default lets 200 MB of dead objects lie.
      resourceLimits: { maxYoungGenerationSizeMb: 48 },
      ...threadArguments(),
      workerData,
      transferList: [port2],
    })
    // Told as `worker_lost` to the call that waits; unheard, it would end the process.
    this.#worker.on('error', () => {})
    this.#worker.unref()
    port1.unref()
  }

  send(order: BlockingOrder): void {
    if (!this.#lost) this.#port.postMessage(order)
  }

  begin(order: Extract<BlockingOrder, { kind: 'call' }>): void {
    try {
      this.#port.postMessage(order)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw unavailable(
        `The call cannot cross to the thread that runs blocking calls: ${reason} Use agenerate().`,
      )
    }
    this.#news.set(order.id, { id: order.id, chunks: [] })
  }

  end(id: number): void {
    this.#news.delete(id)
  }

  wait(id: number, silenceMs: number): BlockingNews {
    let beats = Atomics.load(this.#memory, cells.beats)
    let aliveAtMs = performance.now()
    for (;;) {
      const seen = Atomics.load(this.#memory, cells.news)
      const news = this.#take(id)
      if (news) return news
      if (this.#lost) throw this.#lost
      if (Atomics.wait(this.#memory, cells.news, seen, lookMs) !== 'timed-out') continue
      const now = Atomics.load(this.#memory, cells.beats)
      if (now !== beats) {
        beats = now
        aliveAtMs = performance.now()
      } else this.#check(performance.now() - aliveAtMs, silenceMs)
    }
  }

  /** What came of a call, in one; nothing while nothing came. */
  #take(id: number): BlockingNews | undefined {
    this.#sort()
    const news = this.#news.get(id)
    if (!news || (news.chunks.length === 0 && !news.end)) return undefined
    this.#news.set(id, { id, chunks: [] })
    return news
  }

  #sort(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: BlockingNews } | undefined
      if (!received) return
      const { id, chunks, end } = received.message
      const news = this.#news.get(id)
      // Of a call that was given up.
      if (!news) continue
      for (const chunk of chunks) news.chunks.push(chunk)
      if (end) news.end = end
    }
  }

  /** Whether the thread is there and well. What it finds is told behind the last news. */
  #check(silentMs: number, silenceMs: number): void {
    const pledge = Atomics.load(this.#memory, cells.pledge)
    if (pledge > 0 && !isOpen(pledge - 1)) {
      this.#lose(
        new ConvokeError('worker_lost', 'The thread that runs blocking calls ended before the call did.'),
      )
    } else if (silentMs > silenceMs + (pledge === 0 ? startMs : 0)) {
      const message = `The thread that runs blocking calls gave no sign of life for ${Math.round(silentMs)} ms, and was ended.`
      this.#lose(new ConvokeError('timeout', message, { phase: 'total', isRetryable: false }))
    }
  }

  /** The next call gets a new thread. */
  #lose(error: ConvokeError): void {
    this.#lost = error
    if (channel === this) channel = undefined
    // Its last words count.
    this.#sort()
    void this.#worker.terminate()
    this.#port.close()
  }
}

/** Whether this is still the descriptor that the thread opened, and no other of its number. */
function isOpen(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).rdev === statSync(devNull).rdev
  } catch {
    return false
  }
}

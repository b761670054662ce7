/**
 * The calling thread's side of a blocking call: it sends the call to a thread of its own, and sleeps until there is news.
 * The event loop of a thread that sleeps so stands still, so all that it knows of the other is what they share: memory,
 * the messages that wait in a port, and a file descriptor that ends with its thread.
 */
import { MessageChannel, receiveMessageOnPort, SHARE_ENV, Worker } from 'node:worker_threads'
import type { MessagePort, WorkerOptions } from 'node:worker_threads'
import { ConvokeError, messageOf } from '../errors.ts'
import { cells } from './protocol.ts'
import type { BlockingNews, BlockingOrder, BlockingStart, SchemaQuestion, SchemaAnswer } from './protocol.ts'
import { lostThreads, noteLostThreads } from '../threads/writer-liveness.ts'
import { threadExecArgv } from '../threads/exec-argv.ts'
import { onDiscard } from '../threads/recipe.ts'
import { unavailable } from './may-block.ts'
import type { SchemaCheck } from './schema-check.ts'
import { isThreadAlive, threadFile } from './liveness.ts'

type Call = Omit<Extract<BlockingOrder, { kind: 'call' }>, 'kind' | 'id' | 'totalMs'>

/** Whose a call is: an LLM or a session. */
export interface Owner {
  /** Of a call with a schema. */
  schemaCheck?: SchemaCheck
  /** Of a call that asks several. */
  llms?: object
}

/** Between two looks at the thread's health. */
const lookMs = 100
/** How much longer it may be before its first word: on a busy machine, its modules and a vendor's SDK take seconds. */
const startMs = 15_000
/** A thread that gives no sign of life for so long hangs, however patient the call is. */
const longestSilenceMs = 30_000
/** And this longer than the call's own limit: the thread keeps that itself while it lives, and may load another SDK. */
const graceMs = 2_000
/** A thread that lives ends a call in time; where something in it does not let it, the call is given up. */
const giveUpMs = 4_000

const ended = 'The thread that runs blocking calls ended before the call did.'
const endedAtStart =
  'The thread that runs blocking calls ended while it started. A bundle has to leave convoke out, and modules of --import and --require have to load in a thread.'

let channel: Channel | undefined
let lastId = 0

/**
 * Begins a call in the blocking thread, which is started at the first one.
 * @param totalMs the limit of the whole call
 * @param owner whose call it is
 */
export function beginBlocking(call: Call, totalMs: number, owner: Owner): BlockingCall {
  // One that died between two calls has lost nothing.
  if (!channel?.isAlive) {
    channel?.replace()
    channel = new Channel()
  }
  return new BlockingCall(channel, call, totalMs, owner)
}

/** LLMs and sessions that nobody has any more, by the ids of their twins. */
const gone = new FinalizationRegistry<number>(forget)

const replicas = new WeakMap<object, Replica>()
onDiscard((made) => replicas.get(made)?.forget())

/** The copy that the blocking thread has of an LLM or a session. */
export function replicaOf(made: object): Replica {
  let replica = replicas.get(made)
  if (!replica) replicas.set(made, (replica = new Replica()))
  return replica
}

class Replica {
  #id: number | undefined

  /** Tells it from all others. @param owner whose it is */
  idFor(owner: object): number {
    if (this.#id === undefined) gone.register(owner, (this.#id = nextId()))
    return this.#id
  }

  /** Its owner is closed, or another one now: so is it. */
  forget(): void {
    if (this.#id !== undefined) forget(this.#id)
    this.#id = undefined
  }
}

/** A call that runs in the blocking thread. */
export class BlockingCall {
  readonly #channel: Channel
  readonly #id = nextId()
  readonly #totalMs: number
  readonly #startedAtMs = performance.now()
  /** Kept: were it collected, its twin would be closed, and this call with it. */
  readonly owner: Owner

  constructor(on: Channel, call: Call, totalMs: number, owner: Owner) {
    this.#channel = on
    this.#totalMs = totalMs
    this.owner = owner
    on.begin({ kind: 'call', id: this.#id, totalMs, ...call }, owner.schemaCheck)
  }

  /**
   * Blocks until there is news of it.
   * @throws ConvokeError `timeout` when the thread hangs, `worker_lost` when it died; both make way for a new one.
   * `timeout` also where a thread that lives did not end the call
   */
  wait(): BlockingNews {
    const totalMs = this.#totalMs
    const silenceMs = Math.min(totalMs, longestSilenceMs) + graceMs
    // One who comes late finds what has come meanwhile.
    const untilMs = Math.max(this.#startedAtMs + totalMs, performance.now()) + giveUpMs
    const news = this.#channel.wait(this.#id, silenceMs, untilMs)
    if (news.end) this.#channel.end(this.#id)
    return news
  }

  /** Nobody will wait for it any more. */
  drop(): void {
    this.#channel.drop(this.#id)
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
  readonly #threadId: number
  readonly #port: MessagePort
  readonly #memory = new Int32Array(new SharedArrayBuffer(Object.keys(cells).length * 4))
  /** Of the calls that run. */
  readonly #news = new Map<number, BlockingNews>()
  readonly #schemaChecks = new Map<number, SchemaCheck>()
  #lost: ConvokeError | undefined
  #hasSpoken = false
  #hasExited = false
  /** Of the calls that are waited for, the innermost last. One that Ctrl-C tore away, in a REPL, is left behind. */
  #waiting: number[] = []
  #willLookForTorn = false
  /** What schemas are being asked, the innermost last: one may block in its turn. */
  #judging: { id: number; question: number }[] = []
  #judgedAtMs = 0
  /** Streams, which may be read on after such a Ctrl-C. */
  readonly #streams = new Set<number>()
  /** The call that the thread knows to be waited for. */
  #awaited = 0
  /** Whether its port is one that says when its other end is gone. */
  readonly #tellsEnd: boolean

  constructor() {
    const { port1, port2 } = new MessageChannel()
    const workerData: BlockingStart = { port: port2, memory: this.#memory, lostThreads: lostThreads() }
    this.#port = port1
    this.#worker = started(threadFile, {
      name: 'convoke blocking',
      env: SHARE_ENV,
      // As a main thread has; a thread's own default lets 200 MB of dead objects lie.
      resourceLimits: { maxYoungGenerationSizeMb: 48 },
      ...threadExecArgv(),
      workerData,
      transferList: [port2],
    })
    this.#tellsEnd = this.#isConnected
    this.#threadId = this.#worker.threadId
    // Not told while this thread blocks.
    this.#worker.once('exit', () => {
      this.#hasExited = true
      this.bury()
    })
    // Told as `worker_lost` to the call that waits; unheard, it would end the process.
    this.#worker.on('error', () => {})
    this.#worker.unref()
    port1.unref()
  }

  /** Whether the thread has not ended. */
  get isAlive(): boolean {
    if (this.#hasExited) return false
    return isThreadAlive(this.#memory) ?? (!this.#tellsEnd || this.#isConnected)
  }

  /**
   * Of a thread that has yet to open its file, or never will. That postMessage() says so is documented nowhere: where it
   * does not, such a thread is one that is silent.
   */
  get #isConnected(): boolean {
    const post: (order: BlockingOrder) => unknown = this.#port.postMessage.bind(this.#port)
    return post({ kind: 'look' }) === true
  }

  /** It is dead, as far as anybody can see. */
  replace(): void {
    this.bury()
    void this.#worker.terminate()
  }

  /** It is dead, or will be: nobody waits for the turns of its sessions. */
  bury(): void {
    noteLostThreads(this.#threadId)
  }

  send(order: BlockingOrder): void {
    if (!this.#lost) this.#port.postMessage(order)
  }

  begin(order: Extract<BlockingOrder, { kind: 'call' }>, schemaCheck: SchemaCheck | undefined): void {
    if (this.#judging.length === 0) this.#dropTorn()
    try {
      this.#port.postMessage(order)
    } catch (cause) {
      const reason = messageOf(cause)
      throw unavailable(
        `The call cannot cross to the thread that runs blocking calls: ${reason} Use agenerate().`,
      )
    }
    this.#news.set(order.id, { id: order.id, chunks: [] })
    if (order.method === 'stream') this.#streams.add(order.id)
    else this.#awaited = order.id
    if (schemaCheck) this.#schemaChecks.set(order.id, schemaCheck)
  }

  end(id: number): void {
    this.#news.delete(id)
    this.#schemaChecks.delete(id)
    this.#streams.delete(id)
  }

  /** Nobody waits for it any more. */
  drop(id: number): void {
    if (!this.#news.has(id)) return
    this.end(id)
    this.send({ kind: 'cancel', id, reason: 'nobody reads it' })
  }

  /** Where the event loop goes round nobody waits: who is left then was torn away. */
  #lookForTorn(): void {
    if (this.#willLookForTorn) return
    this.#willLookForTorn = true
    setImmediate(() => {
      this.#willLookForTorn = false
      // A stream may be read on, and ends by that.
      const verdict: SchemaAnswer = { kind: 'failed', message: 'It was interrupted.' }
      for (const torn of this.#judging.splice(0)) this.send({ kind: 'judged', ...torn, verdict })
      this.#dropTorn()
    })
  }

  #dropTorn(): void {
    for (const id of this.#waiting.splice(0)) if (!this.#streams.has(id)) this.drop(id)
  }

  /** @param untilMs by performance.now(): then the call is given up */
  wait(id: number, silenceMs: number, untilMs: number): BlockingNews {
    this.#waiting.push(id)
    this.#lookForTorn()
    try {
      return this.#wait(id, silenceMs, untilMs)
    } finally {
      this.#waiting.pop()
    }
  }

  #wait(id: number, silenceMs: number, untilMs: number): BlockingNews {
    let beats = Atomics.load(this.#memory, cells.beats)
    let aliveAtMs = performance.now()
    for (;;) {
      const seen = Atomics.load(this.#memory, cells.news)
      const news = this.#take(id)
      if (news) return news
      if (this.#lost) throw this.#lost
      this.#tellAwaited(id)
      const woken = Atomics.wait(this.#memory, cells.news, seen, lookMs)
      const nowMs = performance.now()
      // What a schema took here is not the other thread's doing.
      const giveUpAtMs = Math.max(untilMs, this.#judgedAtMs + giveUpMs) + (this.#hasSpoken ? 0 : startMs)
      if (nowMs > giveUpAtMs) throw this.#givenUp(id)
      if (woken !== 'timed-out') continue
      const now = Atomics.load(this.#memory, cells.beats)
      if (now !== beats) {
        beats = now
        aliveAtMs = nowMs
      } else this.#check(nowMs - aliveAtMs, silenceMs)
    }
  }

  /** What flows beside it must not wait to be read: this one may need its slot, or its place in the session. */
  #tellAwaited(id: number): void {
    if (this.#news.size === 1 || this.#awaited === id) return
    this.#awaited = id
    this.send({ kind: 'awaits', id })
  }

  #givenUp(id: number): ConvokeError {
    this.drop(id)
    const message = 'The call took longer than totalMs, and did not end when it was told to.'
    return new ConvokeError('timeout', message, { phase: 'total', isRetryable: false })
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
      this.#hasSpoken = true
      const { id, chunks, judge: schemaCheck, end } = received.message
      const news = this.#news.get(id)
      // Of a call that was given up.
      if (!news) continue
      for (const chunk of chunks) news.chunks.push(chunk)
      if (end) news.end = end
      const verdict = schemaCheck && this.#schemaCheck(id, schemaCheck)
      if (verdict) this.send({ kind: 'judged', id, question: schemaCheck.number, verdict })
    }
  }

  #schemaCheck(id: number, question: SchemaQuestion): SchemaAnswer | undefined {
    this.#judging.push({ id, question: question.number })
    try {
      return this.#schemaChecks.get(id)?.check(question)
    } finally {
      this.#judging.pop()
      this.#judgedAtMs = performance.now()
    }
  }

  /** Whether the thread is there and well. What it finds is told behind the last news. */
  #check(silentMs: number, silenceMs: number): void {
    if (!this.isAlive) {
      const hasStarted = Atomics.load(this.#memory, cells.pledge) > 0
      this.#lose(new ConvokeError('worker_lost', hasStarted ? ended : endedAtStart))
    } else if (silentMs > silenceMs + (this.#hasSpoken ? 0 : startMs)) {
      const message = `The thread that runs blocking calls gave no sign of life for ${Math.round(silentMs)} ms, and was ended.`
      this.#lose(new ConvokeError('timeout', message, { phase: 'total', isRetryable: false }))
    }
  }

  /** The next call gets a new thread. */
  #lose(error: ConvokeError): void {
    this.#lost = error
    this.bury()
    if (channel === this) channel = undefined
    // Its last words count.
    this.#sort()
    void this.#worker.terminate()
    this.#port.close()
  }
}

function forget(id: number): void {
  channel?.send({ kind: 'forget', id })
}

/** For calls and twins. */
function nextId(): number {
  return ++lastId
}

/** @throws ConvokeError `blocking_unavailable` where the process may have no threads */
function started(url: URL, options: WorkerOptions): Worker {
  try {
    return new Worker(url, options)
  } catch (cause) {
    const reason = messageOf(cause)
    throw unavailable(`The thread that runs blocking calls cannot start: ${reason}`, cause)
  }
}

/** The waiting thread's side of all calls that run in the blocking thread: it sends them there and waits for updates. */
import { ConvokeError, messageOf } from '../errors.ts'
import { BlockingWorker } from './blocking-worker.ts'
import { unavailable } from './may-block.ts'
import type { BlockingCommand, CallCommand, CallUpdate, SchemaAnswer, SchemaQuestion } from './protocol.ts'
import type { SchemaCheck } from './schema-check.ts'

/** Milliseconds between two checks of the thread's health. */
const checkIntervalMs = 100
/** A thread that gives no sign of life for so long hangs, however patient the call is. */
const longestSilenceMs = 30_000
/** The thread ends a call at its limit itself, and may have to load another SDK then; silence of so much more is a hang. */
const silenceGraceMs = 2_000
/** A living thread ends a call in time. A call that goes on for so long behind its limit is given up. */
const giveUpMs = 4_000
/** Added to both limits before the thread's first message: on a busy machine its modules and an SDK take seconds. */
const startAllowanceMs = 15_000

const ended = 'The thread that runs blocking calls ended before the call did.'
const endedAtStart =
  'The thread that runs blocking calls ended while it started. Leave convoke out of a bundle, and make sure that modules of --import and --require load in a thread.'

let current: Channel | undefined

/**
 * The channel to the blocking thread. The first call starts the thread, and so does a call that finds it dead: a thread
 * that died between two calls has lost nothing.
 * @throws ConvokeError `blocking_unavailable` where the process may start no threads
 */
export function openChannel(): Channel {
  if (!current?.isAlive) {
    current?.end()
    current = new Channel()
  }
  return current
}

/** Tells the blocking thread, if there is one, that the replica is not needed any more. */
export function forgetReplica(id: number): void {
  current?.send({ kind: 'forget', id })
}

export class Channel {
  readonly #worker = new BlockingWorker()
  /** For each call that runs, what has arrived and was not taken yet. */
  readonly #updates = new Map<number, CallUpdate>()
  readonly #schemaChecks = new Map<number, SchemaCheck>()
  /** Calls that are streams. They can be read on after a Ctrl-C that interrupted a wait for them. */
  readonly #streams = new Set<number>()
  /**
   * Calls that are waited for, the innermost last: a schema may make a blocking call itself. Ctrl-C in a REPL interrupts a
   * wait without running its `finally`, and then the call stays in this list.
   */
  #waiting: number[] = []
  /** Questions that the user's schemas are answering, the innermost last. */
  #openQuestions: { id: number; question: number }[] = []
  #lastSchemaCheckAtMs = 0
  #willCheckInterrupted = false
  /** The call that the thread was told to be waited for. */
  #waitedFor = 0
  #hasAnswered = false
  /** Why the thread was given up. All its calls end with this error. */
  #lost: ConvokeError | undefined

  /** Whether the thread can run calls. */
  get isAlive(): boolean {
    return !this.#lost && this.#worker.isAlive
  }

  end(): void {
    this.#worker.end()
  }

  send(command: BlockingCommand): void {
    if (!this.#lost) this.#worker.send(command)
  }

  /** @throws ConvokeError `blocking_unavailable` for a call that cannot cross to the thread */
  begin(call: CallCommand, schemaCheck: SchemaCheck | undefined): void {
    // While a schema is being asked, the calls that are waited for are not interrupted ones.
    if (this.#openQuestions.length === 0) this.#dropInterrupted()
    try {
      this.send(call)
    } catch (cause) {
      const reason = messageOf(cause)
      throw unavailable(
        `The call cannot cross to the thread that runs blocking calls: ${reason} Use agenerate().`,
      )
    }
    this.#updates.set(call.id, { id: call.id, chunks: [] })
    if (call.method === 'stream') this.#streams.add(call.id)
    else this.#waitedFor = call.id
    if (schemaCheck) this.#schemaChecks.set(call.id, schemaCheck)
  }

  /**
   * Blocks until there is an update of a call.
   * @param totalMs the call's limit, which counts from `startedAtMs` (by `performance.now()`)
   * @throws ConvokeError `timeout` when the thread hangs or did not end the call, `worker_lost` when the thread died. A
   * thread that hangs or died is replaced at the next call
   */
  wait(id: number, totalMs: number, startedAtMs: number): CallUpdate {
    const silenceMs = Math.min(totalMs, longestSilenceMs) + silenceGraceMs
    // A reader that comes after the limit still gets what has arrived meanwhile.
    const deadlineMs = Math.max(startedAtMs + totalMs, performance.now()) + giveUpMs
    this.#waiting.push(id)
    this.#checkInterruptedLater()
    try {
      return this.#wait(id, silenceMs, deadlineMs)
    } finally {
      this.#waiting.pop()
    }
  }

  /** Forgets a call that has ended. */
  forget(id: number): void {
    this.#updates.delete(id)
    this.#schemaChecks.delete(id)
    this.#streams.delete(id)
  }

  /** Cancels a call that nobody will wait for any more. */
  abandon(id: number): void {
    if (!this.#updates.has(id)) return
    this.forget(id)
    this.send({ kind: 'cancel', id, reason: 'nobody reads it' })
  }

  #wait(id: number, silenceMs: number, deadlineMs: number): CallUpdate {
    let { heartbeats } = this.#worker
    let aliveAtMs = performance.now()
    for (;;) {
      const seen = this.#worker.updates
      const update = this.#take(id)
      if (update) return update
      if (this.#lost) throw this.#lost
      this.#tellWaitedFor(id)
      const hasUpdate = this.#worker.waitForUpdate(seen, checkIntervalMs)
      const nowMs = performance.now()
      if (nowMs > this.#giveUpAtMs(deadlineMs)) throw this.#giveUp(id)
      if (hasUpdate) continue
      if (this.#worker.heartbeats !== heartbeats) {
        heartbeats = this.#worker.heartbeats
        aliveAtMs = nowMs
      } else this.#checkHealth(nowMs - aliveAtMs, silenceMs)
    }
  }

  /**
   * Tells the thread which call is waited for. Streams beside it must not wait for their readers meanwhile, since the call
   * may need their slot of `maxConcurrent`, or their place in the session.
   */
  #tellWaitedFor(id: number): void {
    if (this.#updates.size === 1 || this.#waitedFor === id) return
    this.#waitedFor = id
    this.send({ kind: 'wait-for', id })
  }

  /** All that has arrived for a call, as one update; undefined while there is nothing. */
  #take(id: number): CallUpdate | undefined {
    this.#receiveAll()
    const update = this.#updates.get(id)
    if (!update || (update.chunks.length === 0 && !update.result)) return undefined
    this.#updates.set(id, { id, chunks: [] })
    return update
  }

  #receiveAll(): void {
    for (;;) {
      const received = this.#worker.receive()
      if (!received) return
      this.#hasAnswered = true
      const { id, chunks, schemaQuestion, result } = received
      const update = this.#updates.get(id)
      // An update of a call that was abandoned or given up.
      if (!update) continue
      for (const chunk of chunks) update.chunks.push(chunk)
      if (result) update.result = result
      if (schemaQuestion) this.#answerSchemaQuestion(id, schemaQuestion)
    }
  }

  #answerSchemaQuestion(id: number, question: SchemaQuestion): void {
    const { number } = question
    let answer: SchemaAnswer | undefined
    this.#openQuestions.push({ id, question: number })
    try {
      answer = this.#schemaChecks.get(id)?.check(question)
    } finally {
      this.#openQuestions.pop()
      this.#lastSchemaCheckAtMs = performance.now()
    }
    if (answer) this.send({ kind: 'schema-answer', id, question: number, answer })
  }

  /** The time that a schema takes in this thread is not the blocking thread's delay. */
  #giveUpAtMs(deadlineMs: number): number {
    const laterMs = this.#hasAnswered ? 0 : startAllowanceMs
    return Math.max(deadlineMs, this.#lastSchemaCheckAtMs + giveUpMs) + laterMs
  }

  #giveUp(id: number): ConvokeError {
    this.abandon(id)
    const message = 'The call took longer than totalMs, and did not end when it was cancelled.'
    return new ConvokeError('timeout', message, { phase: 'total', isRetryable: false })
  }

  /** Gives the thread up when it is dead or hangs. The waiting call gets the error after the last update. */
  #checkHealth(silentMs: number, silenceMs: number): void {
    if (!this.isAlive) {
      this.#lose(new ConvokeError('worker_lost', this.#worker.hasStarted ? ended : endedAtStart))
    } else if (silentMs > silenceMs + (this.#hasAnswered ? 0 : startAllowanceMs)) {
      const message = `The thread that runs blocking calls gave no sign of life for ${Math.round(silentMs)} ms, and was ended.`
      this.#lose(new ConvokeError('timeout', message, { phase: 'total', isRetryable: false }))
    }
  }

  #lose(error: ConvokeError): void {
    this.#lost = error
    // The updates that arrived before the end count. One may ask a schema, whose own calls need a new thread, and that
    // thread has to know of this one's death.
    this.#worker.noteDeath()
    this.#receiveAll()
    this.#worker.end()
    this.#worker.closePort()
  }

  /** Once the event loop goes round, no wait runs any more: what is still listed then was interrupted. */
  #checkInterruptedLater(): void {
    if (this.#willCheckInterrupted) return
    this.#willCheckInterrupted = true
    setImmediate(() => {
      this.#willCheckInterrupted = false
      // A stream is not dropped, so the answer is needed for it to end.
      const answer: SchemaAnswer = { kind: 'failed', message: 'The schema was interrupted.' }
      for (const question of this.#openQuestions.splice(0)) {
        this.send({ kind: 'schema-answer', ...question, answer })
      }
      this.#dropInterrupted()
    })
  }

  #dropInterrupted(): void {
    for (const id of this.#waiting.splice(0)) if (!this.#streams.has(id)) this.abandon(id)
  }
}

/**
 * Runs in the blocking thread: receives the commands of the waiting thread, and runs its calls by the asynchronous side.
 * The first act opens the file by which the waiting thread sees that this thread lives. The rest of the library is loaded
 * after that, so that an error of loading reaches the calls.
 */
import type { MessagePort } from 'node:worker_threads'
import { totalTimeoutError } from '../../errors.ts'
import type { ResponseStream } from '../../response/response-stream.ts'
import type { Answer } from '../../threads/answer.ts'
import { serializeError } from '../../threads/serialize-error.ts'
import { noteLostThreads } from '../../threads/writer-liveness.ts'
import { announceLiveness } from '../liveness.ts'
import { cells } from '../protocol.ts'
import type { BlockingCommand, BlockingStart, CallCommand, CallUpdate, SchemaAnswer } from '../protocol.ts'
import type { AskSchema } from './schema-replica.ts'
import { StreamFlow } from './stream-flow.ts'

/** Milliseconds between two signs of life. */
const heartbeatMs = 50
/**
 * A call keeps `totalMs` itself, but counts it from its first request. A call that still waits in a queue, or loads an
 * SDK, is aborted this many milliseconds after `totalMs`.
 */
const queueGraceMs = 1_000

/** The part of the library that runs methods. */
type Methods = typeof import('./run-method.ts')

interface RunningCall {
  /** The chunks on their way, where the call is a stream. */
  flow: StreamFlow | undefined
  controller: AbortController
  totalMs: number
  /** When the call is aborted, by `performance.now()`. */
  deadlineMs: number
  /** Resolves the questions that the schema was asked, by their numbers. */
  questions: Map<number, (answer: SchemaAnswer) => void>
}

/** Runs the calls that arrive by the port, until the thread ends. */
export function runCalls({ port, memory, lostThreads }: BlockingStart): void {
  noteLostThreads(...lostThreads)
  announceLiveness(memory)
  const runner = new CallRunner(port, memory)
  port.on('message', (command: BlockingCommand) => runner.obey(command))
}

class CallRunner {
  readonly #port: MessagePort
  readonly #memory: Int32Array
  readonly #methods: Promise<Methods> = import('./run-method.ts')
  readonly #running = new Map<number, RunningCall>()
  /** The call that the other thread waits for, as far as this thread was told. */
  #waitedFor = 0
  #lastQuestion = 0
  #heartbeat: NodeJS.Timeout | undefined

  constructor(port: MessagePort, memory: Int32Array) {
    this.#port = port
    this.#memory = memory
    // The first call gets this error. Until then it must not end the thread.
    this.#methods.catch(() => {})
  }

  obey(command: BlockingCommand): void {
    switch (command.kind) {
      case 'ping':
        return
      case 'call':
        return void this.#run(command)
      case 'schema-answer':
        return this.#running.get(command.id)?.questions.get(command.question)?.(command.answer)
      case 'chunks-read':
        this.#running.get(command.id)?.flow?.noteRead(command.count)
        return this.#resumeStreams()
      case 'cancel':
        return this.#cancel(command.id, command.reason)
      case 'wait-for':
        this.#waitedFor = command.id
        return this.#resumeStreams()
      case 'forget':
        return void this.#methods.then(({ forgetReplica }) => forgetReplica(command.id))
    }
  }

  async #run(command: CallCommand): Promise<void> {
    const { id } = command
    const call = this.#begin(command)
    let result: Answer<unknown>
    try {
      const { runMethod } = await this.#methods
      const { flow, controller } = call
      const read = (returned: unknown) => (flow ? flow.read(returned as ResponseStream) : returned)
      const value = await runMethod(command, this.#schemaAsker(id, call), read, controller.signal)
      result = { isOk: true, value: serializeStoreError(value) }
    } catch (error) {
      result = { isOk: false, error: serializeError(error) }
    }
    this.#end(id)
    this.#send({ id, chunks: call.flow?.takeUnsent() ?? [], result })
  }

  #begin({ id, method, totalMs }: CallCommand): RunningCall {
    const flow =
      method === 'stream'
        ? new StreamFlow(
            (chunks) => this.#send({ id, chunks }),
            (stream) => this.#isReaderElsewhere(stream),
          )
        : undefined
    const deadlineMs = performance.now() + totalMs + queueGraceMs
    const controller = new AbortController()
    const call: RunningCall = { flow, controller, totalMs, deadlineMs, questions: new Map() }
    this.#running.set(id, call)
    if (!flow) this.#waitedFor = id
    this.#heartbeat ??= setInterval(() => this.#beat(), heartbeatMs)
    this.#resumeStreams()
    return call
  }

  #end(id: number): void {
    this.#running.delete(id)
    this.#resumeStreams()
    if (this.#running.size > 0) return
    clearInterval(this.#heartbeat)
    this.#heartbeat = undefined
  }

  /** Gives a sign of life, and aborts the calls whose time is over. */
  #beat(): void {
    Atomics.add(this.#memory, cells.heartbeats, 1)
    const nowMs = performance.now()
    for (const { deadlineMs, totalMs, controller } of this.#running.values()) {
      if (nowMs < deadlineMs || controller.signal.aborted) continue
      // A `timeout`, as the call's own limit gives: the user cancelled nothing.
      const message = `The call took longer than totalMs ${totalMs}, with its wait in the queue.`
      controller.abort(totalTimeoutError(message))
    }
  }

  #cancel(id: number, reason: string): void {
    const call = this.#running.get(id)
    if (call?.flow) call.flow.cancel(reason)
    else call?.controller.abort(reason)
  }

  /** Asks the other thread, which has the schema. The promise resolves when its answer arrives. */
  #schemaAsker(id: number, { questions }: RunningCall): AskSchema {
    return (value) => {
      const number = ++this.#lastQuestion
      return new Promise((resolve) => {
        questions.set(number, (answer) => resolve({ number, answer }))
        this.#send({ id, chunks: [], schemaQuestion: { number, value } })
      })
    }
  }

  /**
   * Whether the other thread waits for another call, which may need the stream's slot of `maxConcurrent` or its place in
   * the session. The stream must not wait for its reader then.
   */
  #isReaderElsewhere(flow: StreamFlow): boolean {
    const waitedFor = this.#running.get(this.#waitedFor)
    if (!waitedFor || waitedFor.flow === flow) return false
    return !waitedFor.flow || waitedFor.flow.isRead
  }

  /** Lets streams that wait for their readers look again whether they must. */
  #resumeStreams(): void {
    for (const { flow } of this.#running.values()) flow?.resume()
  }

  /** Sends an update, and wakes the other thread. A result that cannot cross becomes an error. */
  #send(update: CallUpdate): void {
    try {
      this.#port.postMessage(update)
    } catch (error) {
      const failure: CallUpdate = {
        id: update.id,
        chunks: [],
        result: { isOk: false, error: serializeError(error) },
      }
      this.#port.postMessage(failure)
    }
    Atomics.add(this.#memory, cells.updates, 1)
    Atomics.notify(this.#memory, cells.updates)
  }
}

/** The response of a session may hold an error of the store, which loses its class between threads. */
function serializeStoreError(value: unknown): unknown {
  const { storeError } = (value ?? {}) as { storeError?: unknown }
  return storeError ? { ...(value as object), storeError: serializeError(storeError) } : value
}

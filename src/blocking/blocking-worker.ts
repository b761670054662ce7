/**
 * The blocking thread, as the thread that waits for it sees it. A waiting thread's event loop stands still, so it can use
 * only what both threads share: memory, the messages in a port, and a file descriptor that is closed when the thread ends.
 */
import { MessageChannel, receiveMessageOnPort, SHARE_ENV, Worker } from 'node:worker_threads'
import type { MessagePort, WorkerOptions } from 'node:worker_threads'
import { messageOf } from '../errors.ts'
import { threadExecArgv } from '../threads/exec-argv.ts'
import { lostThreads, noteLostThreads } from '../threads/writer-liveness.ts'
import { hasAnnouncedLiveness, isThreadAlive, threadFile } from './liveness.ts'
import { unavailable } from './may-block.ts'
import { cells } from './protocol.ts'
import type { BlockingCommand, BlockingStart, CallUpdate } from './protocol.ts'

export class BlockingWorker {
  readonly #worker: Worker
  readonly #threadId: number
  readonly #port: MessagePort
  readonly #memory = new Int32Array(new SharedArrayBuffer(Object.keys(cells).length * 4))
  /** Whether postMessage() of this version of Node tells whether the port is connected. */
  readonly #portTellsConnection: boolean
  #hasExited = false
  #isEnded = false

  /** @throws ConvokeError `blocking_unavailable` where the process may start no threads */
  constructor() {
    const { port1, port2 } = new MessageChannel()
    const workerData: BlockingStart = { port: port2, memory: this.#memory, lostThreads: lostThreads() }
    this.#port = port1
    this.#worker = startWorker(threadFile, {
      name: 'convoke blocking',
      env: SHARE_ENV,
      // The value of a main thread. The default of a thread leaves 200 MB of dead objects uncollected.
      resourceLimits: { maxYoungGenerationSizeMb: 48 },
      ...threadExecArgv(),
      workerData,
      transferList: [port2],
    })
    this.#portTellsConnection = this.#isConnected
    this.#threadId = this.#worker.threadId
    // This event comes only while the calling thread does not wait.
    this.#worker.once('exit', () => {
      this.#hasExited = true
      this.noteDeath()
    })
    // The waiting call gets `worker_lost`. Without a listener the event would end the process.
    this.#worker.on('error', () => {})
    this.#worker.unref()
    port1.unref()
  }

  /** Whether the thread has not ended, as far as this thread can see. */
  get isAlive(): boolean {
    if (this.#hasExited || this.#isEnded) return false
    return isThreadAlive(this.#memory) ?? (!this.#portTellsConnection || this.#isConnected)
  }

  /** Whether the thread has begun to run its program. */
  get hasStarted(): boolean {
    return hasAnnouncedLiveness(this.#memory)
  }

  /** The number of signs of life that the thread has given. */
  get heartbeats(): number {
    return Atomics.load(this.#memory, cells.heartbeats)
  }

  /** The number of updates that the thread has sent. */
  get updates(): number {
    return Atomics.load(this.#memory, cells.updates)
  }

  /** @throws an error of structured cloning for a command that cannot cross */
  send(command: BlockingCommand): void {
    this.#port.postMessage(command)
  }

  /** The next update that has arrived; undefined when there is none. It does not wait. */
  receive(): CallUpdate | undefined {
    return (receiveMessageOnPort(this.#port) as { message: CallUpdate } | undefined)?.message
  }

  /**
   * Blocks until the thread sends an update.
   * @param seen the number of updates that the caller knows; when there are more by now, it does not block
   * @returns false when the time is over and nothing came
   */
  waitForUpdate(seen: number, timeoutMs: number): boolean {
    return Atomics.wait(this.#memory, cells.updates, seen, timeoutMs) !== 'timed-out'
  }

  /** Tells the stores that the thread is dead, or will be, so that nobody waits for the turns of its sessions. */
  noteDeath(): void {
    noteLostThreads(this.#threadId)
  }

  /** Ends the thread. Updates that have arrived can still be received. */
  end(): void {
    this.#isEnded = true
    this.noteDeath()
    void this.#worker.terminate()
  }

  closePort(): void {
    this.#port.close()
  }

  /**
   * Whether the port has its other end: for a thread that has not opened its file yet, or never will. Node does not
   * document that postMessage() returns this. Where it does not, a thread that never starts counts as silent.
   */
  get #isConnected(): boolean {
    const post: (command: BlockingCommand) => unknown = this.#port.postMessage.bind(this.#port)
    return post({ kind: 'ping' }) === true
  }
}

function startWorker(url: URL, options: WorkerOptions): Worker {
  try {
    return new Worker(url, options)
  } catch (cause) {
    const reason = messageOf(cause)
    throw unavailable(`The thread that runs blocking calls cannot start: ${reason}`, cause)
  }
}

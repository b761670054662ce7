/**
 * A local server that speaks the wire protocols of OpenAI, Anthropic, Gemini, Cohere and Ollama, with replies
 * and faults that a script decides.
 */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { checkFault, checkOptions, checkReply, checkTimes } from './checks.ts'
import { handle } from './exchange.ts'
import type { SimulatorState } from './exchange.ts'
import { FaultQueue } from './faults.ts'
import { ModelShelf } from './model-shelf.ts'
import { RequestLog } from './request-log.ts'
import type { Fault, Reply, ReplyFunction, RequestRecord, Simulator, SimulatorOptions } from './types.ts'

/** Thousands of clients may connect within one turn of the event loop. */
const LISTEN_BACKLOG = 8192

/** Longer than the clients' own limits, so that it is never the server that drops an idle connection. */
const KEEP_ALIVE_MS = 120_000

/** A fault may ride in a header, with a body in it. */
const MAX_HEADER_BYTES = 64 * 1024

/** Vendors whose SDKs add the version to the base URL themselves. */
const ROOT_PROVIDERS = new Set(['anthropic', 'gemini', 'google', 'cohere', 'ollama'])

/**
 * Starts a simulator, which runs until it is closed.
 *
 * @example
 * await using simulator = await startSimulator({ reply: 'Hello' })
 * const client = new OpenAI({ apiKey: 'any', baseURL: simulator.baseURL('openai') })
 *
 * @throws TypeError or RangeError where an option is not valid, and Node's own error where it cannot listen
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  checkOptions(options)
  const simulator = new RunningSimulator(options)
  await simulator.listen()
  return simulator
}

class RunningSimulator implements Simulator {
  readonly #state: SimulatorState & { reply: Reply | ReplyFunction | undefined }
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  #closed: Promise<void> | undefined
  #port = 0

  constructor(options: SimulatorOptions) {
    this.#state = {
      options: { ...options },
      reply: options.reply,
      log: new RequestLog(),
      faults: new FaultQueue(),
      models: new ModelShelf(options.models),
      openStreams: 0,
    }
    this.#server = createServer(
      { keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: MAX_HEADER_BYTES },
      (incoming, response) => {
        void handle(this.#state, incoming, response)
      },
    )
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  listen(): Promise<void> {
    const { port = 0, host = '127.0.0.1' } = this.#state.options
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ port, host, backlog: LISTEN_BACKLOG }, () => {
        this.#server.off('error', reject)
        this.#port = (this.#server.address() as AddressInfo).port
        resolve()
      })
    })
  }

  get url(): string {
    const { host = '127.0.0.1' } = this.#state.options
    return `http://${host.includes(':') ? `[${host}]` : host}:${this.#port}`
  }

  get port(): number {
    return this.#port
  }

  baseURL(provider: string): string {
    return ROOT_PROVIDERS.has(provider) ? this.url : `${this.url}/v1`
  }

  get requests(): readonly RequestRecord[] {
    return this.#state.log.records
  }

  get openStreams(): number {
    return this.#state.openStreams
  }

  get openSockets(): number {
    return this.#sockets.size
  }

  failNext(fault: Fault, times = 1): void {
    checkFault(fault)
    checkTimes(times)
    this.#state.faults.add(fault, times)
  }

  setReply(reply: Reply | ReplyFunction): void {
    if (typeof reply !== 'function') checkReply(reply)
    this.#state.reply = reply
  }

  reset(): void {
    this.#state.log.clear()
    this.#state.faults.clear()
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeNow()
    return this.#closed
  }

  /** Waits for the sockets too: their close events complete the records, and come after the server's own. */
  async #closeNow(): Promise<void> {
    const closed = (emitter: Server | Socket) => new Promise((resolve) => emitter.once('close', resolve))
    const closing = [closed(this.#server), ...[...this.#sockets].map(closed)]
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closing)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

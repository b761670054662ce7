/** Starts simulators: local servers with the wire protocols of OpenAI, Anthropic, Gemini, Cohere and Ollama. */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { checkFault, checkOptions, checkReply, checkTimes } from './checks.ts'
import { handleRequest } from './handle-request.ts'
import type { SimulatorState } from './handle-request.ts'
import { FaultQueue } from './faults.ts'
import { ModelCatalog } from './model-catalog.ts'
import { RequestLog } from './request-log.ts'
import type { Fault, Reply, ReplyFunction, RequestRecord, Simulator, SimulatorOptions } from './types.ts'

/** Large, because thousands of clients may connect within one iteration of the event loop. */
const LISTEN_BACKLOG = 8192

/** Longer than the limits of the clients, so that the server never closes an idle connection first. */
const KEEP_ALIVE_MS = 120_000

/** Large, because a header may hold a fault with a body in it. */
const MAX_HEADER_BYTES = 64 * 1024

/** Vendors whose SDKs append the API version to the base URL themselves. */
const ROOT_PROVIDERS = new Set(['anthropic', 'gemini', 'google', 'cohere', 'ollama'])

/**
 * Starts a simulator, which runs until it is closed. Point any SDK at `simulator.baseURL(vendor)`, with any API key.
 *
 * @example
 * await using simulator = await startSimulator({ reply: ({ prompt }) => `You said: ${prompt}` })
 * const client = new OpenAI({ apiKey: 'any', baseURL: simulator.baseURL('openai') })
 * simulator.failNext({ status: 429, retryAfter: 1 })
 *
 * @throws TypeError or RangeError when an option is invalid; Node's own error when the port cannot be opened
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
      models: new ModelCatalog(options.models),
      openStreams: 0,
    }
    this.#server = createServer(
      { keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: MAX_HEADER_BYTES },
      (incoming, response) => {
        void handleRequest(this.#state, incoming, response)
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
    this.#closed ??= this.#closeServer()
    return this.#closed
  }

  /** Waits for the sockets too, because their close events complete the records and come after the server's. */
  async #closeServer(): Promise<void> {
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

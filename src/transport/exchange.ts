/**
 * One request through a vendor's SDK. The SDK makes the request and sends it through the fetch it is handed; convoke
 * takes the response out of that fetch and reads the bytes itself, since every SDK loses something on the way (an
 * early end, a comment, `[DONE]` in a text, Retry-After). The SDK gets an empty stand-in and ends at once.
 */
import { ConvokeError, isConvokeError, vendorError } from '../errors.ts'
import type { WireDecoder, WireEvent } from './decode.ts'
import { readFault } from './fault.ts'
import { leanFetch, LeanResponse } from './lean-fetch.ts'
import type { Secrets } from './secrets.ts'

export type Fetch = typeof globalThis.fetch

export interface ExchangeOptions {
  provider: string
  model?: string
  signal: AbortSignal
  /** The user's own fetch; convoke's transport when absent. */
  fetch?: Fetch | undefined
  /** Only a request whose URL has this in it is taken; the SDK's others (for a token, say) pass. @default every one */
  path?: string
  connectMs: number
  /** Longest silence inside the body of a plain reply. */
  idleMs: number
  maxLineBytes: number
  maxResponseBytes: number
  secrets: Secrets
}

type AnyResponse = Response | LeanResponse

/**
 * Runs `call` with a fetch for its SDK and gives the vendor's answer.
 * @throws ConvokeError for a status that is no success, a failed connection, or a request that the SDK refused
 */
export async function exchange(
  options: ExchangeOptions,
  call: (fetch: Fetch) => Promise<unknown>,
): Promise<Reply> {
  let answer: Promise<AnyResponse> | undefined
  const take = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const url = typeof input === 'string' || input instanceof URL ? String(input) : input.url
    // A user's own client knows keys that convoke was never told.
    options.secrets.addHeaders(init?.headers)
    if (options.path && !url.includes(options.path)) return (options.fetch ?? globalThis.fetch)(input, init)
    answer = send(options, url, init)
    await answer.catch(() => {})
    return standIn()
  }
  try {
    await call(take as Fetch)
  } catch (error) {
    // What the SDK makes of the empty stand-in is no news; what it throws before it sends is.
    if (!answer) throw refused(error, options)
  }
  if (!answer) throw refused(new Error('The SDK sent no request.'), options)
  let response: AnyResponse
  try {
    response = await answer
  } catch (error) {
    throw failed(error, options)
  }
  const reply = new Reply(response, options)
  if (response.ok) return reply
  throw await reply.failure()
}

function send(options: ExchangeOptions, url: string, init: RequestInit = {}): Promise<AnyResponse> {
  const { signal, connectMs } = options
  const request = { ...init, signal }
  const isPlain = init.body === undefined || init.body === null || typeof init.body === 'string'
  return options.fetch || !isPlain
    ? (options.fetch ?? globalThis.fetch)(url, request)
    : leanFetch(url, { ...(request as object), signal, connectMs })
}

const standInHeaders = new Headers({ 'content-type': 'application/json' })

/** An empty success, for the SDK to end on. */
function standIn(): Response {
  return {
    ok: true,
    status: 200,
    statusText: 'OK',
    headers: standInHeaders,
    url: '',
    redirected: false,
    type: 'basic',
    get body() {
      return new Response('').body
    },
    text: () => Promise.resolve('{}'),
    json: () => Promise.resolve({}),
  } as unknown as Response
}

/** A vendor's answer whose bytes nobody has touched. */
export class Reply {
  readonly #response: AnyResponse
  readonly #options: ExchangeOptions
  #read = 0

  constructor(response: AnyResponse, options: ExchangeOptions) {
    this.#response = response
    this.#options = options
  }

  /** The body as text. @throws ConvokeError `stream_truncated` when it breaks off */
  async text(): Promise<string> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const bytes of withIdleLimit(this.#bytes(), this.#options)) {
      text += decoder.decode(bytes, { stream: true })
    }
    return text + decoder.decode()
  }

  /** The body as JSON, and the same with every key of the caller taken out. */
  async json(): Promise<{ body: unknown; raw: unknown }> {
    const text = await this.text()
    const body = this.#parse(text)
    return { body, raw: this.#options.secrets.clean(body, text) }
  }

  /**
   * The events of the body, batch by batch as the network gives them. Leaving the loop closes the socket, unless the
   * terminal event was seen: call `release()` then.
   */
  async *events(decoder: WireDecoder): AsyncGenerator<WireEvent[], void, void> {
    for await (const bytes of this.#bytes()) {
      let events: WireEvent[]
      try {
        events = decoder.push(bytes)
      } catch (error) {
        throw this.#named(error)
      }
      if (events.length > 0) yield events
    }
    const tail = decoder.end()
    if (tail.length > 0) yield tail
  }

  /** Parses the data of one event; undefined for a tail that the end of the connection cut off. */
  parse(event: WireEvent): { body: unknown; raw: unknown } | undefined {
    try {
      const body = JSON.parse(event.data) as unknown
      return { body, raw: this.#options.secrets.clean(body, event.data) }
    } catch (cause) {
      if (event.isTail) return undefined
      throw this.#malformed(`The vendor sent an event that is not JSON: ${this.#excerpt(event.data)}`, cause)
    }
  }

  /** The body of a failed request as an error. */
  async failure(): Promise<ConvokeError> {
    const { status, headers } = this.#response
    let text: string
    try {
      text = await this.text()
    } catch (error) {
      // The status is known; a body that breaks off does not change what it says.
      if (isConvokeError(error) && (error.code === 'cancelled' || error.code === 'timeout')) throw error
      text = ''
    }
    const { secrets } = this.#options
    const clean = secrets.redact(text)
    let body: unknown = clean
    try {
      body = JSON.parse(clean)
    } catch {
      // Plain text or HTML, as proxies send it.
    }
    const cause = Object.assign(new Error(`status ${status}`), {
      status,
      body,
      headers: publicHeaders(headers, secrets),
    })
    cause.name = 'VendorResponse'
    return vendorError(readFault(body, status, headers), { ...this.#labels(), cause })
  }

  #labels(): { provider: string; model?: string } {
    const { provider, model } = this.#options
    return model ? { provider, model } : { provider }
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch (cause) {
      if (!isCutOff(text))
        throw this.#malformed(`The vendor's reply is not JSON: ${this.#excerpt(text)}`, cause)
      throw new ConvokeError(
        'stream_truncated',
        `The reply ended before it was whole: ${this.#excerpt(text)}`,
        {
          ...this.#labels(),
          cause,
        },
      )
    }
  }

  #excerpt(text: string): string {
    const clean = this.#options.secrets.redact(text)
    return clean.length > 120 ? `${clean.slice(0, 120)}…` : clean || '(empty)'
  }

  #malformed(message: string, cause?: unknown): ConvokeError {
    return new ConvokeError('malformed_response', message, { ...this.#labels(), cause })
  }

  #named(error: unknown): unknown {
    return isConvokeError(error) && !error.provider
      ? new ConvokeError(error.code, error.message, { ...this.#labels(), cause: error.cause })
      : error
  }

  async *#bytes(): AsyncGenerator<Uint8Array, void, void> {
    const { signal, maxResponseBytes } = this.#options
    try {
      for await (const bytes of bodyOf(this.#response)) {
        this.#read += bytes.length
        if (this.#read > maxResponseBytes) {
          throw this.#malformed(
            `The reply is longer than maxResponseBytes ${maxResponseBytes}. Raise maxResponseBytes if the vendor means it.`,
          )
        }
        yield bytes
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (isConvokeError(error)) throw error
      throw new ConvokeError('stream_truncated', 'The connection broke before the reply was whole.', {
        ...this.#labels(),
        cause: error,
      })
    }
    if (signal.aborted) throw signal.reason
  }
}

/** The body's pieces, whichever kind of response it is. Leaving the loop closes the socket. */
async function* bodyOf(response: AnyResponse): AsyncGenerator<Uint8Array, void, void> {
  if (response instanceof LeanResponse) {
    yield* response.stream as AsyncIterable<Uint8Array>
    return
  }
  if (!response.body) return
  const reader = response.body.getReader()
  let isDone = false
  try {
    for (;;) {
      const { done, value } = await reader.read()
      isDone = done
      if (done) return
      yield value
    }
  } finally {
    if (!isDone) await reader.cancel().catch(() => {})
  }
}

/** Ends the wait for the next piece of a plain body after `idleMs`; its headers came, so the vendor had begun. */
async function* withIdleLimit(
  pieces: AsyncGenerator<Uint8Array, void, void>,
  options: ExchangeOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const { idleMs, provider } = options
  if (idleMs === Infinity) return yield* pieces
  let timer: NodeJS.Timeout | undefined
  const silence = () =>
    new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new ConvokeError('timeout', `The reply stood still for idleMs ${idleMs}.`, {
            provider,
            phase: 'idle',
          }),
        )
      }, idleMs)
    })
  try {
    for (;;) {
      const next = await Promise.race([pieces.next(), silence()])
      clearTimeout(timer)
      if (next.done) return
      yield next.value
    }
  } finally {
    clearTimeout(timer)
    void pieces.return().catch(() => {})
  }
}

/** Whether a text is the beginning of a JSON object or list: a bracket or a string in it is still open. */
function isCutOff(text: string): boolean {
  if (!/^\s*([[{]|$)/.test(text)) return false
  let depth = 0
  let isInString = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (isInString) {
      if (character === '\\') at++
      else if (character === '"') isInString = false
    } else if (character === '"') isInString = true
    else if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') depth--
  }
  return depth > 0 || isInString || text.trim() === ''
}

/** A request that found no vendor, as an error with a word of what to check. */
function failed(error: unknown, options: ExchangeOptions): ConvokeError {
  const { provider, model, secrets, signal } = options
  const labels = model ? { provider, model } : { provider }
  if (signal.aborted && isConvokeError(signal.reason)) return signal.reason
  if (isConvokeError(error)) {
    return new ConvokeError(error.code, error.message, {
      ...labels,
      ...(error.phase ? { phase: error.phase } : {}),
    })
  }
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const { code = '', message = String(error) } = (cause ?? {}) as NodeJS.ErrnoException
  if (/^(UND_ERR_CONNECT_TIMEOUT|ETIMEDOUT)$/.test(code)) {
    return new ConvokeError('timeout', 'No connection to the vendor in time.', {
      ...labels,
      phase: 'connect',
      cause: error,
    })
  }
  const hint = code === 'ECONNREFUSED' ? ' Is the server running at this baseURL?' : ''
  return new ConvokeError('connection', secrets.redact(`The connection failed: ${message}.${hint}`), {
    ...labels,
    cause: error,
  })
}

function refused(error: unknown, options: ExchangeOptions): ConvokeError {
  const { provider, model, secrets, signal } = options
  if (signal.aborted && isConvokeError(signal.reason)) return signal.reason
  if (isConvokeError(error)) return error
  const message = secrets.redact(error instanceof Error ? error.message : String(error))
  return new ConvokeError('invalid_request', `The vendor's SDK refused the request: ${message}`, {
    provider,
    ...(model ? { model } : {}),
  })
}

function publicHeaders(headers: Headers, secrets: Secrets): Record<string, string> {
  return Object.fromEntries([...headers].map(([name, value]) => [name, secrets.redact(value)]))
}

/**
 * One request through a vendor's SDK. The SDK makes the request and sends it through the fetch it is handed; convoke
 * takes the response out of that fetch and reads the bytes itself, since every SDK loses something on the way (an
 * early end, a comment, `[DONE]` in a text, Retry-After). The SDK gets an empty stand-in and ends at once.
 */
import { ConvokeError, isConvokeError, messageOf } from '../errors.ts'
import { PulledBody } from './byte-source.ts'
import { httpFetch } from './http-fetch.ts'
import { HttpResponse } from './http-response.ts'
import { basicCredentials, decoded } from './proxy.ts'
import { VendorResponse } from './vendor-response.ts'
import type { VendorResponseContext } from './vendor-response.ts'
import { headerPairs, Secrets } from './secrets.ts'
import { nextStart } from './start-scheduler.ts'

export type Fetch = typeof globalThis.fetch

export interface ExchangeOptions extends VendorResponseContext {
  /** The user's own fetch; convoke's transport when absent. */
  fetch?: Fetch | undefined
  /** Only a request whose URL has this in it is taken; the SDK's others (for a token, say) pass. @default every one */
  path?: string
  connectMs: number
  /** The proxy on convoke's transport. */
  proxy?: string | false | undefined
}

/**
 * Runs `call` with a fetch for its SDK and gives the vendor's answer.
 * @throws ConvokeError for a status that is no success, a failed connection, or a request that the SDK refused
 */
export async function exchangeThroughSdk(
  options: ExchangeOptions,
  call: (fetch: Fetch) => Promise<unknown>,
): Promise<VendorResponse> {
  const room = nextStart()
  if (room) await room
  const context = { ...options, secrets: new Secrets(options.secrets) }
  let answer: Promise<Response | HttpResponse> | undefined
  const take = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const url = typeof input === 'string' ? input : input instanceof URL ? input.href : input.url
    // Once to a list: to go through Headers costs 5 µs each time.
    const headers = [...headerPairs(init?.headers), ...credentialsOf(url, context.secrets)]
    // The keys of this very request, also those of a user's own client, which convoke was never told.
    context.secrets.addHeaders(headers)
    if (options.path && !url.includes(options.path)) return (options.fetch ?? globalThis.fetch)(input, init)
    answer = send(options, url, headers, init)
    await answer.catch(() => {})
    return standIn as unknown as Response
  }
  try {
    await call(take as Fetch)
  } catch (error) {
    // The SDK's result comes from the empty stand-in and is ignored; an error before it sends a request is not.
    if (!answer) throw refused(error, context)
  }
  if (!answer) throw refused(new Error('The SDK sent no request.'), context)
  let response: Response | HttpResponse
  try {
    response = await answer
  } catch (error) {
    throw failed(error, context)
  }
  const source = response instanceof HttpResponse ? response.source : new PulledBody(response.body)
  const reply = new VendorResponse(source, context)
  if (response.ok) return reply
  throw await reply.failure(response)
}

/** Where a request of a client that serves many carries the fetch that is to take it. */
const interceptions = Symbol('fetch')
type InterceptedRequest = RequestInit & { [interceptions]?: Fetch }

/**
 * A fetch for clients that are dear to make (15 µs, a tenth of a call): one client serves all requests, and each brings
 * its own fetch along in the `fetchOptions` of its SDK call, by `carry`.
 */
export const delegatingFetch: Fetch = (input, init?: InterceptedRequest) =>
  (init?.[interceptions] ?? globalThis.fetch)(input, init)

/** `fetchOptions` that bring a fetch along. */
export function fetchOptionsFor(fetch: Fetch): object {
  return { [interceptions]: fetch }
}

/** The user and password in an address, as a header; one that the SDK set wins. */
function credentialsOf(url: string, secrets: Secrets): [string, string][] {
  if (!url.includes('@')) return []
  const { username, password } = new URL(url)
  if (!username && !password) return []
  secrets.add(decoded(password))
  return [['authorization', basicCredentials(username, password)]]
}

async function send(
  options: ExchangeOptions,
  url: string,
  headers: [string, unknown][],
  init: RequestInit = {},
): Promise<Response | HttpResponse> {
  const { signal, connectMs, proxy, fetch } = options
  const { method = 'GET', body } = init
  if (!fetch && (typeof body === 'string' || body === null || body === undefined)) {
    return httpFetch(url, { method, headers, body: body ?? undefined, signal, connectMs, proxy })
  }
  const response = (await (fetch ?? globalThis.fetch)(url, { ...init, signal })) as Response | undefined
  if (typeof response?.status === 'number') return response
  throw new ConvokeError('configuration', 'The fetch that was passed gave no response.')
}

/** An empty body, as far as the SDKs look at one: a real web stream costs 15 µs, and they would only find it empty. */
const nothing = {
  locked: false,
  getReader: () => ({ read: end, cancel: () => Promise.resolve(), releaseLock: () => {} }),
  cancel: () => Promise.resolve(),
  pipeThrough: () => nothing,
  [Symbol.asyncIterator]: () => ({ next: end, return: end }),
}

function end(): Promise<{ done: true; value: undefined }> {
  return Promise.resolve({ done: true, value: undefined })
}

/** An empty success, for the SDKs to end on. It keeps no state: one serves all. */
const standIn = {
  ok: true,
  status: 200,
  statusText: 'OK',
  headers: new Headers({ 'content-type': 'application/json' }),
  url: '',
  redirected: false,
  type: 'basic',
  body: nothing,
  text: () => Promise.resolve('{}'),
  json: () => Promise.resolve({}),
}

/** Node's errors, and that of undici in a fetch of the user's, for headers that cannot be sent. */
const invalidRequestCodes = new Set(['ERR_INVALID_CHAR', 'ERR_INVALID_HTTP_TOKEN', 'UND_ERR_INVALID_ARG'])

/** A request that found no vendor, as an error with a word of what to check. */
function failed(error: unknown, context: VendorResponseContext): ConvokeError {
  const { signal, secrets } = context
  const labels = labelsOf(context)
  if (signal.aborted) return aborted(context)
  if (isConvokeError(error)) {
    const { code, message, phase, cause } = error
    return new ConvokeError(code, message, { ...labels, ...(phase ? { phase } : {}), cause })
  }
  const cause = secrets.cleanError(error)
  const { code = '', message } = innermost(cause) as NodeJS.ErrnoException
  if (/^(UND_ERR_CONNECT_TIMEOUT|ETIMEDOUT)$/.test(code)) {
    return new ConvokeError('timeout', 'No connection to the vendor in time.', {
      ...labels,
      phase: 'connect',
      cause,
    })
  }
  if (invalidRequestCodes.has(code)) {
    return new ConvokeError('invalid_request', `The request cannot be sent: ${message}.`, {
      ...labels,
      cause,
    })
  }
  const hint =
    code === 'ECONNREFUSED' ? ' Is the server of this baseURL running, or the proxy on the way to it?' : ''
  return new ConvokeError('connection', `The connection failed: ${message}.${hint}`, {
    ...labels,
    cause,
  })
}

function refused(error: unknown, context: VendorResponseContext): ConvokeError {
  if (context.signal.aborted) return aborted(context)
  if (isConvokeError(error)) return error
  const message = context.secrets.redact(messageOf(error))
  return new ConvokeError(
    'invalid_request',
    `The vendor's SDK refused the request: ${message}`,
    labelsOf(context),
  )
}

function aborted(context: VendorResponseContext): ConvokeError {
  const reason: unknown = context.signal.reason
  if (isConvokeError(reason)) return reason
  return new ConvokeError('cancelled', 'The request was cancelled.', { ...labelsOf(context), cause: reason })
}

function labelsOf({ provider, model }: VendorResponseContext): { provider: string; model?: string } {
  return model ? { provider, model } : { provider }
}

function innermost(error: Error): Error {
  return error.cause instanceof Error ? innermost(error.cause) : error
}

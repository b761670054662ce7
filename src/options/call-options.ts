/** Checks what users pass as options, and merges a call's options over the LLM's defaults. */
import { didYouMean } from './did-you-mean.ts'
import { ConvokeError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { LLMOptions } from './llm-options.ts'
import type { GenerateOptions, RetryOptions, Timeouts } from './generate-options.ts'

type Check = (value: unknown) => boolean
const isText: Check = (value) => typeof value === 'string'
const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value)
const isCount: Check = (value) => Number.isInteger(value) && (value as number) >= 1
/** Milliseconds or a size; `Infinity` is no limit. */
const isLimit: Check = (value) => typeof value === 'number' && value > 0
const isDelay: Check = (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value)
const isList: Check = (value) => Array.isArray(value)
const isFields: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText)
const oneOf =
  (...words: string[]): Check =>
  (value) =>
    words.includes(value as string)

const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']
const isReasoning: Check = (value) => {
  if (typeof value === 'boolean' || oneOf(...efforts)(value)) return true
  if (!isFields(value)) return false
  const { effort, maxTokens } = value as { effort?: unknown; maxTokens?: unknown }
  return (
    (effort === undefined || oneOf(...efforts)(effort)) && (maxTokens === undefined || isCount(maxTokens))
  )
}
const isTools: Check = (value) =>
  Array.isArray(value) && value.every((tool) => isFields(tool) && isText((tool as { name?: unknown }).name))

type Checks = Record<string, [Check, string]>

const timeoutChecks: Checks = Object.fromEntries(
  ['connectMs', 'firstChunkMs', 'idleMs', 'totalMs'].map((name) => [
    name,
    [isLimit, 'milliseconds above 0, or Infinity'],
  ]),
)
const retryChecks: Checks = {
  attempts: [isCount, 'a whole number from 1'],
  minDelayMs: [isDelay, 'milliseconds from 0'],
  maxDelayMs: [(value) => isDelay(value) || value === Infinity, 'milliseconds from 0, or Infinity'],
  replay: [oneOf('before-output', 'restart', 'never'), "'before-output', 'restart' or 'never'"],
}
const streamChecks: Checks = {
  streamTimeoutMs: [isLimit, 'milliseconds above 0, or Infinity'],
  chunkTimeoutMs: [isLimit, 'milliseconds above 0, or Infinity'],
  maxChunks: [isLimit, 'a number above 0'],
  bufferSize: [isCount, 'a whole number from 1'],
}

const callChecks: Checks = {
  model: [isText, 'a text'],
  system: [isText, 'a text'],
  messages: [isList, 'a list of messages'],
  temperature: [isNumber, 'a number'],
  maxTokens: [isCount, 'a whole number from 1'],
  topP: [isNumber, 'a number'],
  topK: [isNumber, 'a number'],
  frequencyPenalty: [isNumber, 'a number'],
  presencePenalty: [isNumber, 'a number'],
  stop: [(value) => isText(value) || isTexts(value), 'a text or a list of texts'],
  seed: [isNumber, 'a number'],
  reasoning: [isReasoning, `true, false, ${efforts.join(', ')} or { effort, maxTokens }`],
  tools: [isTools, 'a list of tools, each with a name'],
  toolChoice: [
    (value) =>
      oneOf('auto', 'none', 'required')(value) ||
      (isFields(value) && isText((value as { name: unknown }).name)),
    "'auto', 'none', 'required' or { name }",
  ],
  schema: [
    (value) => (isFields(value) || typeof value === 'function') && '~standard' in (value as object),
    'a schema that implements Standard Schema, such as one of zod',
  ],
  signal: [(value) => value instanceof AbortSignal, 'an AbortSignal'],
  metadata: [isFields, 'an object of texts'],
  timeouts: [isFields, 'an object'],
  retry: [isFields, 'an object'],
  streamConfig: [isFields, 'an object'],
  vendor: [isFields, 'an object'],
}

const llmChecks: Checks = {
  ...callChecks,
  apiKey: [
    (value) => isText(value) || isTexts(value) || typeof value === 'function',
    'a text, a list or a function',
  ],
  baseURL: [
    (value) => isText(value) && URL.canParse(value as string),
    'a URL, such as http://127.0.0.1:8080/v1',
  ],
  headers: [isFields, 'an object of texts'],
  fetch: [(value) => typeof value === 'function', 'a function'],
  proxy: [
    // The address itself is checked where it is used: shown here, it would show its password.
    (value) => value === false || isText(value),
    'a URL, such as http://proxy.example:3128, or false',
  ],
  api: [oneOf('chat', 'responses'), "'chat' or 'responses'"],
  maxConcurrent: [(value) => isCount(value) || value === Infinity, 'a whole number from 1, or Infinity'],
  maxQueue: [
    (value) => value === 0 || value === Infinity || isCount(value),
    'a whole number from 0, or Infinity',
  ],
  maxLineBytes: [isLimit, 'a number of bytes above 0, or Infinity'],
  maxResponseBytes: [isLimit, 'a number of bytes above 0, or Infinity'],
  name: [isText, 'a text'],
  blocking: [oneOf('allow'), "'allow'"],
  rateLimit: [isFields, 'an object, such as { requestsPerMinute: 60 }'],
  circuitBreaker: [
    (value) => typeof value === 'boolean' || isFields(value),
    'true, false or { failures, cooldownMs }',
  ],
}

const rateLimitChecks: Checks = {
  requestsPerMinute: [(value) => isCount(value) || value === Infinity, 'a whole number from 1, or Infinity'],
  tokensPerMinute: [isLimit, 'a number above 0, or Infinity'],
}
const circuitBreakerChecks: Checks = {
  failures: [isCount, 'a whole number from 1'],
  cooldownMs: [(value) => isDelay(value) && value !== 0, 'milliseconds above 0'],
}

/** @throws ConvokeError `configuration` for an option that does not exist or a value that it cannot have */
export function checkLLMOptions(options: LLMOptions): void {
  check(options, llmChecks, 'configuration')
  checkNested(options, 'configuration')
  const { rateLimit = {}, circuitBreaker } = options
  check(rateLimit, rateLimitChecks, 'configuration', 'rateLimit.')
  if (typeof circuitBreaker === 'object') {
    check(circuitBreaker, circuitBreakerChecks, 'configuration', 'circuitBreaker.')
  }
}

/** @throws ConvokeError `invalid_request` for an option that does not exist or a value that it cannot have */
export function checkCallOptions(options: GenerateOptions & { stream?: boolean }): void {
  const { stream: _stream, ...rest } = (options ?? {}) as typeof options
  check(options && rest, callChecks, 'invalid_request')
  checkNested(rest, 'invalid_request')
}

const sessionChecks: Checks = {
  store: [(value) => isText(value) || isFields(value), 'a path or a store'],
  id: [(value) => isText(value) && value !== '', 'a text'],
  system: [isText, 'a text'],
  context: [isFields, 'an object, such as { maxTokens: 100_000 }'],
  turns: [oneOf('queue', 'reject', 'fork'), "'queue', 'reject' or 'fork'"],
  metadata: [isFields, 'an object'],
}
const contextChecks: Checks = {
  maxTokens: [isLimit, 'a number of tokens above 0, or Infinity'],
  onOverflow: [oneOf('trim', 'compact', 'error'), "'trim', 'compact' or 'error'"],
}

/** @throws ConvokeError `configuration` for an option that does not exist or a value that it cannot have */
export function checkSessionOptions(options: object & { context?: object }): void {
  check(options, sessionChecks, 'configuration')
  check(options.context ?? {}, contextChecks, 'configuration', 'context.')
}

function checkNested(options: GenerateOptions, code: ErrorCode): void {
  check(options.timeouts ?? {}, timeoutChecks, code, 'timeouts.')
  check(options.retry ?? {}, retryChecks, code, 'retry.')
  check(options.streamConfig ?? {}, streamChecks, code, 'streamConfig.')
}

function check(options: object, checks: Checks, code: ErrorCode, prefix = ''): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new ConvokeError(
      code,
      `The ${prefix ? prefix.slice(0, -1) : 'options'} are ${shown(options)}; pass an object.`,
    )
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    const rule = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (!rule) {
      throw new ConvokeError(
        code,
        checks === callChecks && Object.hasOwn(llmChecks, name)
          ? `The option ${name} is one of ${whoTakes(name)}.`
          : `There is no option ${prefix}${name}.${didYouMean(name, Object.keys(checks))}`,
      )
    }
    const [isRight, wanted] = rule
    if (!isRight(value)) {
      throw new ConvokeError(code, `The option ${prefix}${name} is ${shown(value)}; it takes ${wanted}.`)
    }
  }
}

function whoTakes(name: string): string {
  return name === 'blocking'
    ? 'createLLM and of generate(), not of an awaited call'
    : 'createLLM, not of a call'
}

function shown(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value.slice(0, 60))
    : typeof value === 'object' && value !== null
      ? Array.isArray(value)
        ? 'a list'
        : 'an object'
      : String(value)
}

/** Everything of the time-outs, the retries and the stream, defaults applied. */
export interface Settings {
  timeouts: Required<Timeouts>
  retry: Required<RetryOptions>
  stream: { maxChunks: number; bufferSize: number }
}

/** The part of an LLM's options that are defaults of its calls. */
export function callDefaults(options: LLMOptions): GenerateOptions {
  const {
    apiKey: _apiKey,
    blocking: _blocking,
    baseURL: _baseURL,
    headers: _headers,
    fetch: _fetch,
    proxy: _proxy,
    api: _api,
    maxConcurrent: _maxConcurrent,
    maxQueue: _maxQueue,
    rateLimit: _rateLimit,
    circuitBreaker: _circuitBreaker,
    maxLineBytes: _maxLineBytes,
    maxResponseBytes: _maxResponseBytes,
    name: _name,
    ...defaults
  } = options
  return mergeOptions({}, defaults)
}

/** Of such defaults, those of a reply in plain text: no tools, no schema, nothing that ends it early. */
export function plainTextDefaults(defaults: GenerateOptions): GenerateOptions {
  const { tools: _tools, toolChoice: _choice, schema: _schema, ...rest } = defaults
  const { stop: _stop, messages: _messages, ...plain } = rest
  return plain
}

/** A call's options over the LLM's defaults, which were merged before; the grouped ones are merged name by name. */
export function mergeOptions(base: GenerateOptions, options: GenerateOptions): GenerateOptions {
  const over = unfolded(options)
  const merged: GenerateOptions = { ...base, ...over }
  for (const name of ['timeouts', 'retry', 'streamConfig', 'vendor', 'metadata'] as const) {
    if (base[name] && over[name]) Object.assign(merged, { [name]: { ...base[name], ...over[name] } })
  }
  return merged
}

/** Options without entries that are undefined, and with the stream's names of the two time-outs in their place. */
function unfolded(options: GenerateOptions): GenerateOptions {
  const { timeouts, retry, streamConfig, ...rest } = options
  const { streamTimeoutMs: totalMs, chunkTimeoutMs: idleMs, ...stream } = streamConfig ?? {}
  const limits = defined({ totalMs, idleMs, ...defined(timeouts ?? {}) }) as Timeouts
  return defined({
    ...rest,
    ...(Object.keys(limits).length ? { timeouts: limits } : {}),
    ...(retry ? { retry: defined(retry) } : {}),
    ...(streamConfig ? { streamConfig: defined(stream) } : {}),
  })
}

function defined<T extends object>(value: T): T {
  if (!Object.values(value).includes(undefined)) return value
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T
}

/** The settings of merged options. */
export function settingsOf(options: GenerateOptions): Settings {
  return {
    timeouts: {
      connectMs: 10_000,
      firstChunkMs: 120_000,
      idleMs: 30_000,
      totalMs: 600_000,
      ...options.timeouts,
    },
    retry: { attempts: 3, minDelayMs: 1_000, maxDelayMs: 60_000, replay: 'before-output', ...options.retry },
    stream: {
      maxChunks: options.streamConfig?.maxChunks ?? Infinity,
      bufferSize: options.streamConfig?.bufferSize ?? 100,
    },
  }
}

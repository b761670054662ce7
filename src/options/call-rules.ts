/**
 * The rules of the options of calls (see `GenerateOptions`) and of `createLLM` (see `LLMOptions`).
 *
 * Room `options`: the options of calls and of createLLM: their rules, their defaults, and how they are merged.
 * Imported by `blocking`, `combinators`, `consensus`, `fan-out`, `index`, `llm`, `policies`, `providers`, `request`,
 * `session`, `threads`.
 */
import type { GenerateOptions } from './generate-options.ts'
import type { LLMOptions } from './llm-options.ts'
import { isAllowed, limitMs, positiveMs, positiveWhole } from './option-rules.ts'
import type { OptionRule, OptionRules } from './option-rules.ts'
import { checkOptions } from './check-options.ts'

const string: OptionRule = { type: 'string' }
const number: OptionRule = { type: 'number' }

const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']
const effort: OptionRule = { type: 'choice', choices: efforts }

const callRules: OptionRules<keyof GenerateOptions> = {
  model: string,
  system: string,
  messages: { type: 'list', wanted: 'a list of messages' },
  temperature: number,
  maxTokens: positiveWhole,
  topP: number,
  topK: number,
  frequencyPenalty: number,
  presencePenalty: number,
  stop: { type: 'either', rules: [string, { type: 'list', of: string }] },
  seed: number,
  reasoning: {
    type: 'custom',
    isValid: (value) => typeof value === 'boolean' || isAllowed(effort, value) || isReasoningBudget(value),
    wanted: `true, false, ${efforts.join(', ')} or { effort, maxTokens }`,
  },
  tools: {
    type: 'list',
    of: { type: 'custom', isValid: hasName, wanted: 'a tool with a name' },
    wanted: 'a list of tools, each with a name',
  },
  toolChoice: {
    type: 'custom',
    isValid: (value) => ['auto', 'none', 'required'].includes(value as string) || hasName(value),
    wanted: "'auto', 'none', 'required' or { name }",
  },
  schema: {
    type: 'custom',
    isValid: isStandardSchema,
    wanted: 'a schema that implements Standard Schema, such as one of zod',
  },
  signal: {
    type: 'custom',
    isValid: (value) => value instanceof AbortSignal,
    wanted: 'an AbortSignal',
  },
  metadata: { type: 'object', wanted: 'an object of strings' },
  timeouts: {
    type: 'object',
    fields: { connectMs: limitMs, firstChunkMs: limitMs, idleMs: limitMs, totalMs: limitMs },
  },
  retry: {
    type: 'object',
    fields: {
      attempts: positiveWhole,
      minDelayMs: { type: 'number', unit: 'milliseconds', from: 0 },
      maxDelayMs: { type: 'number', unit: 'milliseconds', from: 0, allowsInfinity: true },
      replay: { type: 'choice', choices: ['before-output', 'restart', 'never'] },
    },
  },
  streamConfig: {
    type: 'object',
    fields: {
      streamTimeoutMs: limitMs,
      chunkTimeoutMs: limitMs,
      maxChunks: { type: 'number', above: 0, allowsInfinity: true },
      bufferSize: positiveWhole,
    },
  },
  vendor: { type: 'object' },
}

const bytes: OptionRule = { type: 'number', unit: 'a number of bytes', above: 0, allowsInfinity: true }

/** The options that `createLLM` takes beside those of a call. */
export const llmRules: OptionRules<Exclude<keyof LLMOptions, keyof GenerateOptions>> = {
  apiKey: { type: 'either', rules: [string, { type: 'list', of: string }, { type: 'function' }] },
  baseURL: {
    type: 'custom',
    isValid: (value) => typeof value === 'string' && URL.canParse(value),
    wanted: 'a URL, such as http://127.0.0.1:8080/v1',
  },
  headers: { type: 'object', wanted: 'an object of strings' },
  fetch: { type: 'function' },
  // Any string passes here: an error about it would quote it, and with it the password that it may hold. The provider's
  // configuration checks the address, and does not quote it.
  proxy: {
    type: 'custom',
    isValid: (value) => value === false || typeof value === 'string',
    wanted: 'a URL, such as http://proxy.example:3128, or false',
  },
  api: { type: 'choice', choices: ['chat', 'responses'] },
  maxConcurrent: { ...positiveWhole, allowsInfinity: true },
  maxQueue: { type: 'number', isWhole: true, from: 0, allowsInfinity: true },
  maxLineBytes: bytes,
  maxResponseBytes: bytes,
  name: string,
  blocking: { type: 'choice', choices: ['allow'] },
  rateLimit: {
    type: 'object',
    wanted: 'an object, such as { requestsPerMinute: 60 }',
    fields: {
      requestsPerMinute: { ...positiveWhole, allowsInfinity: true },
      tokensPerMinute: { type: 'number', above: 0, allowsInfinity: true },
    },
  },
  circuitBreaker: {
    type: 'either',
    rules: [
      { type: 'boolean' },
      { type: 'object', fields: { failures: positiveWhole, cooldownMs: positiveMs } },
    ],
    wanted: 'true, false or { failures, cooldownMs }',
  },
}

function isReasoningBudget(value: unknown): boolean {
  if (!isAllowed({ type: 'object' }, value)) return false
  const given = value as { effort?: unknown; maxTokens?: unknown }
  return (
    (given.effort === undefined || isAllowed(effort, given.effort)) &&
    (given.maxTokens === undefined || isAllowed(positiveWhole, given.maxTokens))
  )
}

function hasName(value: unknown): boolean {
  return isAllowed({ type: 'object' }, value) && typeof (value as { name?: unknown }).name === 'string'
}

/** Schemas of some libraries (arktype) are functions. */
function isStandardSchema(value: unknown): boolean {
  const canHold = isAllowed({ type: 'object' }, value) || typeof value === 'function'
  return canHold && '~standard' in (value as object)
}

const rules: OptionRules = { ...callRules, stream: { type: 'any' } }

/**
 * @param own the rules of further options, for a function that takes them beside those of a call, and its name
 * @throws ConvokeError `invalid_request` for an option that does not exist or a value that it cannot have
 */
export function checkCallOptions(
  options: GenerateOptions & { stream?: boolean },
  own: { label?: string; rules?: OptionRules } = {},
): void {
  const { label, rules: ownRules } = own
  checkOptions(options, ownRules ? { ...rules, ...ownRules } : rules, {
    code: 'invalid_request',
    explainUnknown,
    ...(label === undefined ? {} : { label }),
  })
}

function explainUnknown(name: string): string | undefined {
  if (name === 'blocking') {
    return 'The option blocking belongs to createLLM and to generate(), not to an awaited call.'
  }
  return Object.hasOwn(llmRules, name) ? `The option ${name} belongs to createLLM, not to a call.` : undefined
}

/** @throws ConvokeError `configuration` for an option that does not exist or a value that it cannot have */
export function checkLLMOptions(options: LLMOptions): void {
  checkOptions(options, { ...callRules, ...llmRules }, { code: 'configuration' })
}

/** The rules of a call's options (see `GenerateOptions`). */
import type { GenerateOptions } from './generate-options.ts'
import { isAllowed } from './is-allowed.ts'
import { limitMs, positiveWhole } from './option-rules.ts'
import type { OptionRule, OptionRules } from './option-rules.ts'

const string: OptionRule = { type: 'string' }
const number: OptionRule = { type: 'number' }

const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']
const effort: OptionRule = { type: 'choice', choices: efforts }

export const callRules: OptionRules<keyof GenerateOptions> = {
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

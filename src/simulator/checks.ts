/** Checks options, replies and faults. The errors name the value that is wrong, and the values that are allowed. */
import type { Fault, Reply, ScriptedReply, SimulatorOptions } from './types.ts'

type Check = (name: string, value: unknown) => void
type Checks = Record<string, Check>

const FAULT: Checks = {
  latencyMs: milliseconds,
  reset: onlyTrue,
  status: wholeNumber(200, 599),
  retryAfter: stringOrNumber,
  headers: headerValues,
  message: string,
  body: string,
  stallAfter: share,
  cutAfter: share,
  endAfter: share,
  junkAfter: share,
  errorAfter: share,
  comments: boolean,
}

const REPLY: Checks = {
  text: string,
  chunks: strings,
  reasoning: string,
  signature: string,
  refusal: string,
  toolCalls: toolCalls,
  finishReason: oneOf('stop', 'length', 'tool-calls', 'content-filter'),
  usage: usage,
  model: string,
  id: string,
  chunkSize: wholeNumber(1, Number.MAX_SAFE_INTEGER),
  paceMs: milliseconds,
  latencyMs: milliseconds,
  fault: (_name, value) => checkFault(value),
}

const USAGE: Checks = {
  inputTokens: wholeNumber(0, Number.MAX_SAFE_INTEGER),
  outputTokens: wholeNumber(0, Number.MAX_SAFE_INTEGER),
  cachedInputTokens: wholeNumber(0, Number.MAX_SAFE_INTEGER),
  reasoningTokens: wholeNumber(0, Number.MAX_SAFE_INTEGER),
}

const TOOL_CALL: Checks = { id: string, name: string, arguments: () => undefined }

const OPTIONS: Checks = {
  port: wholeNumber(0, 65_535),
  host: string,
  reply: (_name, value) => {
    if (typeof value !== 'function') checkReply(value)
  },
  chunkSize: wholeNumber(1, Number.MAX_SAFE_INTEGER),
  paceMs: milliseconds,
  latencyMs: milliseconds,
  fault: (_name, value) => {
    if (typeof value !== 'function') checkFault(value)
  },
  models: strings,
  strictModels: boolean,
  apiKey: string,
  strictMessages: boolean,
}

/** @throws TypeError for an unknown field or a wrong type, RangeError for a number out of its range */
export function checkFault(value: unknown): asserts value is Fault {
  fields('fault', value, FAULT)
  if (value['body'] !== undefined && value['status'] === undefined) {
    throw new TypeError('[simulator] fault.body needs fault.status. Give both, or script a reply.')
  }
}

/** @throws TypeError or RangeError, as `checkFault` */
export function checkReply(value: unknown): asserts value is Reply {
  if (typeof value === 'string') return
  fields('reply', value, REPLY)
  const { text, chunks } = value as ScriptedReply
  if (text !== undefined && chunks !== undefined && chunks.join('') !== text) {
    throw new TypeError('[simulator] reply.text differs from reply.chunks. Give only one of them.')
  }
}

/** @throws TypeError or RangeError, as `checkFault` */
export function checkOptions(value: unknown): asserts value is SimulatorOptions {
  fields('options', value, OPTIONS)
}

/** @throws TypeError or RangeError, as `checkFault` */
export function checkTimes(value: unknown): asserts value is number {
  wholeNumber(1, Number.MAX_SAFE_INTEGER)('times', value)
}

function fields(what: string, value: unknown, checks: Checks): asserts value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`[simulator] ${what} must be an object, not ${show(value)}.`)
  }
  for (const [name, field] of Object.entries(value)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) {
      const known = Object.keys(checks).join(', ')
      throw new TypeError(`[simulator] Unknown field ${what}.${name}; fields are ${known}.`)
    }
    if (field !== undefined) check(`${what}.${name}`, field)
  }
}

function string(name: string, value: unknown): void {
  if (typeof value !== 'string') refuse(name, 'a string', value)
}

function strings(name: string, value: unknown): void {
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) {
    refuse(name, 'an array of strings', value)
  }
}

function stringOrNumber(name: string, value: unknown): void {
  if (typeof value !== 'string' && typeof value !== 'number') refuse(name, 'a string or a number', value)
}

function boolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') refuse(name, 'true or false', value)
}

function onlyTrue(name: string, value: unknown): void {
  if (value !== true) refuse(name, 'true or absent', value)
}

function headerValues(name: string, value: unknown): void {
  const isValid =
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((item) => typeof item === 'string')
  if (!isValid) refuse(name, 'an object of strings', value)
}

function usage(name: string, value: unknown): void {
  fields(name, value, USAGE)
}

function toolCalls(name: string, value: unknown): void {
  if (!Array.isArray(value)) refuse(name, 'an array', value)
  for (const [index, call] of (value as unknown[]).entries()) {
    fields(`${name}[${index}]`, call, TOOL_CALL)
    string(`${name}[${index}].name`, call['name'])
  }
}

function milliseconds(name: string, value: unknown): void {
  // A longer timer would fire at once.
  numberWithin(name, value, 0, 2 ** 31 - 1, 'milliseconds from 0 to 2147483647')
}

function share(name: string, value: unknown): void {
  numberWithin(name, value, 0, 1, 'a share from 0 to 1')
}

function wholeNumber(least: number, most: number): Check {
  return (name, value) => {
    const upTo = most === Number.MAX_SAFE_INTEGER ? '' : ` to ${most}`
    const wanted = `a whole number from ${least}${upTo}`
    numberWithin(name, value, least, most, wanted)
    if (!Number.isInteger(value)) throw new RangeError(message(name, wanted, value))
  }
}

function numberWithin(name: string, value: unknown, least: number, most: number, wanted: string): void {
  if (typeof value !== 'number') refuse(name, wanted, value)
  if (!((value as number) >= least && (value as number) <= most)) {
    throw new RangeError(message(name, wanted, value))
  }
}

function oneOf(...words: string[]): Check {
  return (name, value) => {
    if (!words.includes(value as string)) refuse(name, `one of ${words.join(', ')}`, value)
  }
}

function refuse(name: string, wanted: string, value: unknown): never {
  throw new TypeError(message(name, wanted, value))
}

function message(name: string, wanted: string, value: unknown): string {
  return `[simulator] ${name} must be ${wanted}, not ${show(value)}.`
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40))
  return typeof value === 'object' && value !== null
    ? Array.isArray(value)
      ? 'an array'
      : 'an object'
    : String(value)
}

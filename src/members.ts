/** Who is asked together: their keys, deadlines and prompts, and what becomes of each one's call. */
import { ConvokeError, endedBy, isConvokeError, overdue } from './errors.ts'
import { maxTimerMs } from './policies/max-timer-ms.ts'
import type { GenerateOptions, GenerateResponse, Prompt, StreamChunk, Usage } from './types.ts'
import { noUsage, sumOf, usageOf } from './usage.ts'

/**
 * Who can be asked: an LLM, or whatever answers as one does. It has to obey the signal of its options: one that has not
 * ended a second after that is left alone, and what it used is not known.
 */
export interface Member {
  readonly provider?: string
  readonly model?: string | undefined
  agenerate(prompt: Prompt, options?: GenerateOptions): Promise<GenerateResponse>
  stream(prompt: Prompt, options?: GenerateOptions): MemberStream
}

/** What of a `ResponseStream` is needed. */
export interface MemberStream extends AsyncIterable<StreamChunk> {
  readonly response: Promise<GenerateResponse>
  cancel(reason?: unknown): void
}

/** Members in a list, in which one may stand several times, or by keys of your own. */
export type Members = readonly Member[] | Readonly<Record<string, Member>>

/** Which member: `key` is yours, or in a list `provider/model`, the second of a name with `#2` behind it. */
export interface MemberInfo {
  readonly key: string
  /** Place in the order that was given, from 0. */
  readonly index: number
  readonly provider: string
  readonly model: string | undefined
}

/** One value for all, or one for each: a list in their order, or an object by key. */
export type PerMember<Value> = Value | readonly (Value | undefined)[] | Readonly<Record<string, Value>>

/** One prompt for all, or a function that gives each member its own. */
export type PromptForMembers = Prompt | ((member: MemberInfo) => Prompt)

/** What became of one member: a response or an error, never both. */
export type MemberResult<Output = unknown> = MemberInfo & {
  /** From the fan-out's start to this member's end, in milliseconds. */
  timeMs: number
  /**
   * What it took, with what a combined LLM lost (`response.lost`): none where the reply is out of a cache, and of a
   * member that failed, what it had used by then; absent where nothing was sent.
   */
  usage?: Usage
  /** US dollars of the same, where prices are known. */
  costUsd?: number
} & ({ response: GenerateResponse<Output>; error?: never } | { response?: never; error: ConvokeError })

/** A member in its place. */
export interface Seat extends MemberInfo {
  readonly member: Member
}

/** @throws ConvokeError `invalid_request` where there is nobody, or something that cannot be asked */
export function seatsOf(llms: Members): Seat[] {
  const entries: [key: string | undefined, member: Member][] = Array.isArray(llms)
    ? llms.map((member: Member) => [undefined, member])
    : typeof llms === 'object' && llms !== null && !canAnswer(llms)
      ? Object.entries(llms as Record<string, Member>)
      : []
  if (entries.length === 0) {
    throw new ConvokeError(
      'invalid_request',
      'There is no LLM to ask. Pass a list such as [gpt, claude], or an object such as { gpt, claude }.',
    )
  }
  const seen = new Map<string, number>()
  return entries.map(([name, member], index) => {
    if (!canAnswer(member)) {
      const shown = member === null ? 'null' : typeof member
      throw new ConvokeError(
        'invalid_request',
        `Member ${name ?? index} is no LLM (${shown}). Make it with createLLM.`,
      )
    }
    const { provider = 'member', model } = member
    const label = name ?? (model ? `${provider}/${model}` : provider)
    const count = (seen.get(label) ?? 0) + 1
    seen.set(label, count)
    return { key: count > 1 ? `${label}#${count}` : label, index, provider, model, member }
  })
}

function canAnswer(value: unknown): value is Member {
  const { agenerate, stream } = (value ?? {}) as Partial<Member>
  return typeof agenerate === 'function' && typeof stream === 'function'
}

export function infoOf({ key, index, provider, model }: MemberInfo): MemberInfo {
  return { key, index, provider, model }
}

/**
 * What was given for each seat, in order.
 * @param isRight whether a single value is one
 * @throws ConvokeError `invalid_request` for a key or a place that no member has, or a wrong value
 */
export function perMember<Value>(
  given: PerMember<Value> | undefined,
  seats: readonly MemberInfo[],
  { name, isRight, wanted }: { name: string; isRight: (value: unknown) => boolean; wanted: string },
): (Value | undefined)[] {
  const fail = (what: string) =>
    new ConvokeError(
      'invalid_request',
      `The option ${name} ${what}; it takes ${wanted}, for all, in a list, or by key.`,
    )
  const check = (value: unknown, where: string): Value | undefined => {
    if (value !== undefined && !isRight(value)) throw fail(`is ${String(value)}${where}`)
    return value as Value | undefined
  }
  if (typeof given !== 'object' || given === null) {
    const value = check(given, '')
    return seats.map(() => value)
  }
  if (Array.isArray(given)) {
    if (given.length > seats.length) throw fail(`has ${given.length} entries for ${seats.length} members`)
    return seats.map(({ index }) => check(given[index], ` at ${index}`))
  }
  const byKey = given as Readonly<Record<string, Value>>
  const unknown = Object.keys(byKey).find((key) => !seats.some((seat) => seat.key === key))
  if (unknown !== undefined) {
    throw fail(`names ${unknown}, whom nobody is (there are ${seats.map(({ key }) => key).join(', ')})`)
  }
  return seats.map(({ key }) => check(byKey[key], ` for ${key}`))
}

/** The rule of options that are a deadline. */
export function deadlineRule(name: string) {
  return {
    name,
    isRight: (value: unknown) => typeof value === 'number' && value > 0,
    wanted: 'milliseconds above 0, or Infinity',
  }
}

/** A member's prompt. A function that throws fails that member alone. */
export function promptFor(prompt: PromptForMembers, seat: MemberInfo): Prompt {
  if (typeof prompt !== 'function') return prompt
  try {
    return prompt(infoOf(seat))
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new ConvokeError('invalid_request', `The prompt for ${seat.key} could not be made: ${message}`, {
      cause,
    })
  }
}

/** What a call took: its reply, and what a combined LLM lost beside it. */
function spentOn(reply: GenerateResponse): { usage: Usage; costUsd?: number } {
  const { usage, costUsd, lost = [], fromCache } = reply
  const own = fromCache ? noUsage : usage
  const cost = sumOf([costUsd, ...lost.map((one) => one.costUsd)])
  return {
    usage: lost.length > 0 ? usageOf([own, ...lost.map((one) => one.usage)]) : own,
    ...(cost === undefined ? {} : { costUsd: cost }),
  }
}

/** What a member that was cancelled has to end: a session writes to its disk, a cache to its store. */
const graceMs = 1_000

/** One member's call: the caller's signal, its deadline and a cancel of its own in one signal. */
export class MemberCall {
  readonly seat: Seat
  readonly startedAtMs = performance.now()
  /** It did not listen to its cancel: nothing more of it is waited for. */
  isLeft = false
  readonly #controller = new AbortController()
  readonly #userSignal: AbortSignal | undefined
  readonly #onAbort = () => this.cancel(this.#userSignal?.reason)
  readonly #timer: NodeJS.Timeout | undefined

  /** @param limit how its error calls the deadline */
  constructor(
    seat: Seat,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    limit = `timeoutMs ${timeoutMs}`,
  ) {
    this.seat = seat
    this.#userSignal = signal
    if (signal?.aborted) this.#onAbort()
    else signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (timeoutMs === undefined || timeoutMs > maxTimerMs) return
    this.#timer = setTimeout(() => {
      this.cancel(overdue(`There was no answer within ${limit}.`))
    }, timeoutMs)
    // A stream that nobody reads must not hold the process.
    this.#timer.unref()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  cancel(reason?: unknown): void {
    this.#controller.abort(reason)
  }

  /** What becomes of it; never rejects. */
  async settle(ask: () => PromiseLike<GenerateResponse>): Promise<MemberResult> {
    this.#timer?.ref()
    try {
      const response = await this.#unlessDeaf(ask())
      return { ...this.#facts(), response, ...spentOn(response) }
    } catch (thrown) {
      const error = this.#failure(thrown)
      return { ...this.#facts(), error, ...(error.partial ? spentOn(error.partial) : {}) }
    } finally {
      clearTimeout(this.#timer)
      this.#userSignal?.removeEventListener('abort', this.#onAbort)
    }
  }

  /** The reply, or, of a member that does not listen to its signal, an end all the same. */
  async #unlessDeaf(asked: PromiseLike<GenerateResponse>): Promise<GenerateResponse> {
    let timer: NodeJS.Timeout | undefined
    const left = new Promise<never>((_, reject) => {
      const message = `The member did not end within ${graceMs} ms of its cancel.`
      const leave = () => {
        this.isLeft = true
        reject(new ConvokeError('cancelled', message))
      }
      const onAbort = () => (timer = setTimeout(leave, graceMs))
      if (this.signal.aborted) onAbort()
      else this.signal.addEventListener('abort', onAbort, { once: true })
    })
    try {
      return await Promise.race([asked, left])
    } finally {
      clearTimeout(timer)
    }
  }

  #facts() {
    return { ...infoOf(this.seat), timeMs: performance.now() - this.startedAtMs }
  }

  #failure(thrown: unknown): ConvokeError {
    const { provider, model } = this.seat
    const who = { provider, ...(model ? { model } : {}) }
    const { aborted, reason } = this.signal
    if (!isConvokeError(thrown)) {
      // One of the caller's own may end by any error, once it is told to.
      if (aborted) return endedBy(reason, { ...who, cause: thrown })
      const message = thrown instanceof Error ? thrown.message : String(thrown)
      return new ConvokeError('malformed_response', `The member failed: ${message}`, {
        ...who,
        cause: thrown,
      })
    }
    // One of the caller's own may throw the reason itself, or cancel what it asked by a signal of its own.
    if (!aborted || (thrown !== reason && thrown.code !== 'cancelled')) return thrown
    const { attempts, partial } = thrown
    const cause = thrown === reason ? {} : { cause: thrown }
    const ended = endedBy(reason, { ...who, attempts, ...cause, ...(partial ? { partial } : {}) })
    return thrown === reason || ended.code === 'timeout' ? ended : thrown
  }
}

/** Who is asked together: their keys, deadlines and prompts, and what becomes of each one's call. */
import { ConvokeError, messageOf } from '../errors.ts'
import type { GenerateResponse, Prompt, StreamChunk, Usage } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

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

/** One prompt for all, or a function that gives each member its own. */
export type PromptForMembers = Prompt | ((member: MemberInfo) => Prompt)

/** What became of one member: a response or an error, never both. */
export type MemberResult<Response extends GenerateResponse = GenerateResponse> = MemberInfo & {
  /** From the fan-out's start to this member's end, in milliseconds. */
  timeMs: number
  /**
   * What it took, with what a combined LLM lost (`response.lost`): none where the reply is out of a cache, and of a
   * member that failed, what it had used by then; absent where nothing was sent.
   */
  usage?: Usage
  /** US dollars of the same, where prices are known. */
  costUsd?: number
} & ({ response: Response; error?: never } | { response?: never; error: ConvokeError })

/** A member in its place. */
export interface MemberSlot extends MemberInfo {
  readonly member: Member
}

/** @throws ConvokeError `invalid_request` where there is nobody, or something that cannot be asked */
export function memberSlots(llms: Members): MemberSlot[] {
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

/** A member's prompt. A function that throws fails that member alone. */
export function promptFor(prompt: PromptForMembers, slot: MemberInfo): Prompt {
  if (typeof prompt !== 'function') return prompt
  try {
    return prompt(infoOf(slot))
  } catch (cause) {
    const message = messageOf(cause)
    throw new ConvokeError('invalid_request', `The prompt for ${slot.key} could not be made: ${message}`, {
      cause,
    })
  }
}

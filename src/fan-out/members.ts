/** The members of a fan-out or a consensus: their keys, their prompts, and the results of their calls. */
import { ConvokeError, messageOf } from '../errors.ts'
import { describeValue } from '../options/check-options.ts'
import type { GenerateResponse, Prompt, StreamChunk, Usage } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

/**
 * An LLM, or any object with the same two methods. It has to obey the signal of its options: a member that has not ended
 * a second after its signal is no longer waited for, and its usage is unknown.
 */
export interface Member {
  /** @default 'member' */
  readonly provider?: string
  /** The model that its calls use. @default none is shown */
  readonly model?: string | undefined
  /** One reply. Rejects with a ConvokeError; any other error is reported as `malformed_response`. */
  agenerate(prompt: Prompt, options?: GenerateOptions): Promise<GenerateResponse>
  /** One reply, chunk by chunk. */
  stream(prompt: Prompt, options?: GenerateOptions): MemberStream
}

/** The part of `ResponseStream` that a member has to offer. */
export interface MemberStream extends AsyncIterable<StreamChunk> {
  /** The whole reply, at the end. */
  readonly response: Promise<GenerateResponse>
  /** Ends the request. */
  cancel(reason?: unknown): void
}

/** Members in a list, which may hold the same LLM several times, or by keys of your own. */
export type Members = readonly Member[] | Readonly<Record<string, Member>>

/** Identifies a member. */
export interface MemberInfo {
  /** Your own key; in a list `provider/model`, with `#2` behind it for the second member of the same name. */
  readonly key: string
  /** Position in the order that was given, from 0. */
  readonly index: number
  /** The member's provider. */
  readonly provider: string
  /** The member's model; undefined where its calls choose one. */
  readonly model: string | undefined
}

/** One prompt for all, or a function that gives each member its own. */
export type PromptForMembers = Prompt | ((member: MemberInfo) => Prompt)

/** The result of one member: a response or an error, never both. */
export type MemberResult<Response extends GenerateResponse = GenerateResponse> = MemberInfo & {
  /** From the fan-out's start to this member's end, in milliseconds. */
  timeMs: number
  /**
   * Tokens that the call used, including `response.otherAttempts` of a combined LLM. A reply from a cache used none. A
   * failed member has the usage until it failed; the field is absent where nothing was sent.
   */
  usage?: Usage
  /** US dollars for this usage, where prices are known. */
  costUsd?: number
} & ({ response: Response; error?: never } | { response?: never; error: ConvokeError })

/** A member with its key and position. */
export interface MemberSlot extends MemberInfo {
  readonly member: Member
}

/** @throws ConvokeError `invalid_request` where there is no member, or an object that is none */
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
      throw new ConvokeError(
        'invalid_request',
        `Member ${name ?? index} is ${describeValue(member)}, not an LLM. Make it with createLLM.`,
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
 * A member's prompt.
 * @throws ConvokeError `invalid_request` when the prompt function throws: it fails this member alone
 */
export function promptFor(prompt: PromptForMembers, slot: MemberInfo): Prompt {
  if (typeof prompt !== 'function') return prompt
  try {
    return prompt(infoOf(slot))
  } catch (cause) {
    const message = messageOf(cause)
    throw new ConvokeError(
      'invalid_request',
      `The prompt function failed for member ${slot.key}: ${message}`,
      {
        cause,
      },
    )
  }
}

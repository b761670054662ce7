/** fanOut: one prompt to many LLMs, each with its own answer or error. */
import { beginCall } from '../threads/calls-in-flight.ts'
import { FanOutStream } from './fan-out-stream.ts'
import { promptFor, memberSlots } from './members.ts'
import { perMember } from './per-member.ts'
import { MemberCall } from './member-call.ts'
import type { MemberResult, Members, PromptForMembers, MemberSlot } from './members.ts'
import type { PerMember } from './per-member.ts'
import { limitMs } from '../options/option-rules.ts'
import type { OptionRules } from '../options/option-rules.ts'
import { checkCallOptions } from '../options/call-rules.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import type { ResponseTo } from '../options/response-to.ts'
import type { GenerateResponse } from '../types.ts'

/** Options of every member's call, and the deadline. */
export interface FanOutOptions<Output = unknown, Tool extends string = string> extends GenerateOptions<
  Output,
  Tool
> {
  /**
   * How long each member may take, in milliseconds from the start, with its wait in the queue and its retries: one number
   * for all, a list in the members' order, or an object by key. A member that is late is cancelled and has the error
   * `timeout`. @default no deadline besides the `timeouts` of its call
   */
  timeoutMs?: PerMember<number>
}

/** Results in the shape that the LLMs came in: a list for a list, an object by key for an object. */
export type FanOutResults<Given extends Members, Response extends GenerateResponse = GenerateResponse> = {
  -readonly [Key in keyof Given]: MemberResult<Response>
}

/**
 * Asks all members at once, and gives the `response` or `error` of each, with its time and cost, in the shape and order of
 * the members. A member that fails does not affect the others. When `signal` aborts, members that have not ended get the
 * error `cancelled`. A list may hold the same LLM several times. With `stream: true` it gives a `FanOutStream` at once.
 *
 * @param prompt one for all, or a function that makes each member's own
 * @throws ConvokeError `invalid_request` where there is no member or an option is wrong, before anything is sent
 */
export function fanOut<
  const Given extends Members,
  Output = never,
  Tool extends string = never,
  Stream extends boolean = false,
>(
  llms: Given,
  prompt: PromptForMembers,
  options?: FanOutOptions<Output, Tool> & { stream?: Stream },
): Stream extends true
  ? FanOutStream<FanOutResults<Given, ResponseTo<Output, Tool>>>
  : Promise<FanOutResults<Given, ResponseTo<Output, Tool>>>
export function fanOut<const Given extends Members>(
  llms: Given,
  prompt: PromptForMembers,
  options: FanOutOptions & { stream?: boolean } = {},
): Promise<FanOutResults<Given>> | FanOutStream<FanOutResults<Given>> {
  if (options?.stream) {
    const { calls, callOptions, shaped } = prepare(llms, options)
    // Counts while the prompts are made. Each stream counts by itself from then on, whether it is read or not.
    const end = beginCall()
    try {
      return new FanOutStream(calls, prompt, callOptions, shaped)
    } finally {
      end()
    }
  }
  return settleAll(llms, prompt, options)
}

async function settleAll<Given extends Members>(
  llms: Given,
  prompt: PromptForMembers,
  options: FanOutOptions & { stream?: boolean },
): Promise<FanOutResults<Given>> {
  const { calls, callOptions, shaped } = prepare(llms, options)
  // The prompt of the first member is made before any member's call counts.
  const end = beginCall()
  try {
    const results = calls.map((call) =>
      call.settle(async () => {
        const { slot, signal } = call
        return slot.member.agenerate(promptFor(prompt, slot), { ...callOptions, signal })
      }),
    )
    return shaped(await Promise.all(results))
  } finally {
    end()
  }
}

const label = 'fanOut'
/** The rules of options that are not a call's. perMember checks their values, as it knows the members. */
const rules: OptionRules = { timeoutMs: { type: 'any' } }

function prepare<Given extends Members>(llms: Given, options: FanOutOptions & { stream?: boolean }) {
  const { stream: _stream, signal, ...given } = options ?? {}
  checkCallOptions(options && { ...given, ...(signal ? { signal } : {}) }, { label, rules })
  const { timeoutMs, ...callOptions } = given
  const slots = memberSlots(llms)
  const deadlines = perMember(timeoutMs, slots, { name: 'timeoutMs', rule: limitMs, label })
  const calls = slots.map((slot) => new MemberCall(slot, signal, deadlines[slot.index]))
  return { calls, callOptions, shaped: (results: MemberResult[]) => shapedAs(llms, slots, results) }
}

function shapedAs<Given extends Members>(
  llms: Given,
  slots: readonly MemberSlot[],
  results: MemberResult[],
): FanOutResults<Given> {
  const shaped = Array.isArray(llms)
    ? results
    : Object.fromEntries(slots.map(({ key, index }) => [key, results[index]]))
  return shaped as FanOutResults<Given>
}

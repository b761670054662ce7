/** One consensus as it runs: rounds of calls, votes as they come, a ruling, and the verdict. */
import { beginCall } from '../threads/calls-in-flight.ts'
import { ConvokeError, abortedError, finishReasonOfError, isConvokeError, messageOf } from '../errors.ts'
import { infoOf, promptFor } from '../fan-out/members.ts'
import { MemberCall } from '../fan-out/member-call.ts'
import type { Member, MemberResult, PromptForMembers, MemberSlot } from '../fan-out/members.ts'
import { onAbort } from '../policies/cancellation.ts'
import { maxTimerMs } from '../policies/deadline.ts'
import type { GenerateResponse, Prompt } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import { unusable, withText } from './answer.ts'
import type { AnswerKind } from './answer.ts'
import { rulingOf } from './count.ts'
import { shuffler } from './quoted-answers.ts'
import type { ConsensusEvent } from './progress.ts'
import { questionsOn } from './questions.ts'
import { debatePrompt } from './debate-prompt.ts'
import type { Ballot, Consultation, Ruling, Strategy, Vote } from './strategy.ts'
import { tally } from './tally.ts'
import { spentBy, statusOf, support, verdictOf } from './verdict.ts'
import type { Findings, MemberFailure, Verdict } from './verdict.ts'

/** What was asked for, checked. */
export interface Plan {
  slots: readonly MemberSlot[]
  weights: readonly number[]
  prompt: PromptForMembers
  /** Of every member's call. */
  options: GenerateOptions
  signal: AbortSignal | undefined
  kind: AnswerKind
  strategy: Strategy
  equality: Pick<Ballot, 'isSame' | 'keyOf'>
  byField: boolean
  quorum: number
  timeoutMs: number | undefined
  memberDeadlines: readonly (number | undefined)[]
  rounds: number
  confidence: number | undefined
  shuffleSeed: number
}

export class ConsensusRun {
  readonly #plan: Plan
  readonly #tell: (event: ConsensusEvent) => void
  readonly #shuffle: <Value>(values: readonly Value[]) => Value[]
  readonly #startedAtMs = performance.now()
  /** The last vote of each member, by its place. */
  readonly #votes = new Map<number, Vote>()
  readonly #failures: MemberFailure[] = []
  readonly #results: Findings['results'][number][] = []
  readonly #consultations: Consultation[] = []
  /** Calls in flight. */
  readonly #calls = new Set<MemberCall>()
  /** Calls of a judge and the like, in flight. */
  readonly #consulting = new Set<Promise<MemberResult>>()
  readonly #ended = new AbortController()
  #round = 0
  #outstanding: readonly MemberSlot[] = []
  #stopped: string[] = []
  #savedAtMostMs: number | undefined
  #cancelled: ConvokeError | undefined

  constructor(plan: Plan, tell: (event: ConsensusEvent) => void) {
    this.#plan = plan
    this.#tell = tell
    this.#shuffle = shuffler(plan.shuffleSeed)
  }

  /** @throws ConvokeError `cancelled`, or the `timeout` of who asked for it, with what it cost */
  async run(): Promise<Verdict> {
    const { signal, rounds } = this.#plan
    const stopListening = onAbort(signal, (reason) => this.cancel(reason))
    // The strategy and the prompts may be functions of the caller's, called while no call of a member runs.
    const end = beginCall()
    try {
      let ruling: Ruling | undefined
      for (
        let asked = this.#plan.slots;
        ;
        asked = this.#plan.slots.filter(({ index }) => this.#votes.has(index))
      ) {
        this.#throwIfCancelled()
        await this.#ask(asked)
        this.#throwIfCancelled()
        ruling = await this.#rule()
        this.#throwIfCancelled()
        const isLast = this.#round >= rounds || this.#votes.size < 2 || this.#timeLeft() <= 0
        if (isLast || this.#isEnough(ruling)) break
      }
      return verdictOf(this.#findings(ruling))
    } catch (error) {
      const ended = this.#cancelled
      if (!ended || error !== ended) throw error
      const partial = spentBy(this.#findings(), finishReasonOfError(ended))
      throw ended.amend({ partial, attempts: partial.timing.attempts })
    } finally {
      end()
      stopListening()
    }
  }

  cancel(reason?: unknown): void {
    this.#cancelled ??= abortedError(reason, {}, 'consensus')
    for (const call of this.#calls) call.cancel(reason)
    this.#ended.abort()
  }

  #throwIfCancelled(): void {
    if (this.#cancelled) throw this.#cancelled
  }

  #timeLeft(): number {
    return (this.#plan.timeoutMs ?? Infinity) - (performance.now() - this.#startedAtMs)
  }

  /** One round: ends when all have answered or failed, or when nothing that is outstanding can matter. */
  async #ask(slots: readonly MemberSlot[]): Promise<void> {
    const round = ++this.#round
    const prompts = this.#prompts(slots)
    this.#outstanding = slots
    this.#tell({ type: 'round', round, members: slots.map(({ key }) => key) })
    const calls = slots.map((slot) => this.#call(slot))
    let isCertain = false
    await new Promise<void>((resolve, reject) => {
      const answers = calls.map(async (call) => {
        const result = await call.settle(async () => this.#stream(call, prompts.get(call.slot.index)))
        this.#calls.delete(call)
        this.#results.push({ round, result, isStopped: isCertain })
        if (isCertain || this.#cancelled) return
        this.#outstanding = this.#outstanding.filter(({ index }) => index !== result.index)
        this.#count(result)
        if (!this.#isCertain()) return
        isCertain = true
        this.#stop(calls)
      })
      // Of those that are stopped too: what they used is known then, and their sockets are told to close.
      void Promise.all(answers).then(() => resolve(), reject)
    })
  }

  #call(slot: MemberSlot): MemberCall {
    const own = this.#plan.memberDeadlines[slot.index] ?? Infinity
    const left = Math.max(1, this.#timeLeft())
    const limit = own <= left ? `memberTimeoutMs ${own}` : `timeoutMs ${this.#plan.timeoutMs}`
    const call = new MemberCall(slot, undefined, Math.min(own, left), limit)
    this.#calls.add(call)
    return call
  }

  #stream({ slot, signal }: MemberCall, prompt: Prompt | Error | undefined): Promise<GenerateResponse> {
    if (prompt instanceof Error) throw prompt
    // Streamed, as vendors stop writing, and charging, when a stream is left.
    return slot.member.stream(prompt as Prompt, { ...this.#plan.options, signal }).response
  }

  /** In the members' order, so that what is shuffled does not depend on who answers first. */
  #prompts(slots: readonly MemberSlot[]): Map<number, Prompt | Error> {
    const votes = this.#ordered()
    return new Map<number, Prompt | Error>(
      slots.map((slot): [number, Prompt | Error] => {
        try {
          const prompt = withText(promptFor(this.#plan.prompt, slot), this.#debatePrompt(slot, votes))
          return [slot.index, withText(prompt, this.#plan.kind.instruction)]
        } catch (error) {
          return [slot.index, error as Error]
        }
      }),
    )
  }

  #debatePrompt(slot: MemberSlot, votes: readonly Vote[]): string | undefined {
    const own = votes.find(({ index }) => index === slot.index)
    return own && debatePrompt(own, votes, { isSame: this.#plan.equality.isSame, shuffle: this.#shuffle })
  }

  #count(result: MemberResult): void {
    const { key: member, index, provider, model, response, timeMs } = result
    const round = this.#round
    if (!response) return this.#fail(result, result.error)
    this.#tell({ type: 'answer', round, member, response, timeMs })
    let answer: unknown
    try {
      answer = this.#read(response)
    } catch (error) {
      return this.#fail(result, error as ConvokeError)
    }
    const weight = this.#plan.weights[index] ?? 1
    this.#votes.set(index, { member, index, provider, model, answer, weight, round, response })
    const { votes } = this.#ballot()
    const standings = tally(votes, (value) => value, this.#plan.equality).map((group) => ({
      answer: group.value,
      weight: group.weight,
      members: group.votes.map((vote) => vote.member),
    }))
    this.#tell({ type: 'vote', round, member, answer, standings, outstanding: this.#outstanding.length })
  }

  /** @throws ConvokeError `invalid_output`, for an answer too that cannot be compared: `normalize` is the caller's */
  #read(response: GenerateResponse): unknown {
    const answer = this.#plan.kind.read(response)
    try {
      this.#plan.equality.isSame(answer, answer)
    } catch (error) {
      throw unusable(response, `normalize failed on it (${messageOf(error)})`)
    }
    return answer
  }

  #fail({ key: member, index, provider, model, timeMs }: MemberResult, error: ConvokeError): void {
    const round = this.#round
    this.#failures.push({ member, index, provider, model, round, error })
    this.#tell({ type: 'failure', round, member, error, timeMs })
  }

  /** Whether nothing that is outstanding can change the result. Between rounds only an agreement ends the asking. */
  #isCertain(): boolean {
    const ballot = this.#ballot()
    if (ballot.outstanding.length === 0 || ballot.votes.length === 0) return false
    const ruling = this.#plan.strategy.settled?.(ballot)
    return ruling !== undefined && (this.#round >= this.#plan.rounds || this.#isEnough(ruling))
  }

  #isEnough(ruling: Ruling | undefined): boolean {
    const { confidence } = this.#plan
    const ballot = this.#ballot()
    if (!ruling || statusOf(ballot, ruling) !== 'agreed') return false
    return confidence === undefined || support(ballot, ruling).agreement >= confidence
  }

  #stop(calls: readonly MemberCall[]): void {
    this.#stopped = this.#outstanding.map(({ key }) => key)
    const deadlines = this.#outstanding.map(({ index }) => {
      const call = calls.find(({ slot }) => slot.index === index)
      const own = this.#plan.memberDeadlines[index] ?? Infinity
      const taken = performance.now() - (call?.startedAtMs ?? 0)
      return Math.min(own - taken, this.#timeLeft())
    })
    const longest = Math.max(...deadlines)
    this.#savedAtMostMs = longest === Infinity ? undefined : Math.max(0, longest)
    for (const { index, key } of this.#outstanding) {
      calls.find(({ slot }) => slot.index === index)?.cancel('the consensus is decided')
      this.#tell({ type: 'stopped', round: this.#round, member: key })
    }
  }

  /** Votes of an earlier round stand for members that failed in this one, not for those that may still answer. */
  #ballot(): Ballot {
    const open = new Set(this.#outstanding.map(({ index }) => index))
    const votes = this.#ordered().filter(({ index }) => !open.has(index))
    const outstanding = this.#outstanding.map((slot) => ({
      ...infoOf(slot),
      weight: this.#plan.weights[slot.index] ?? 1,
    }))
    const { equality, quorum, byField } = this.#plan
    return { votes, outstanding, quorum, questions: questionsOn(votes, byField), ...equality }
  }

  #ordered(): Vote[] {
    return [...this.#votes.values()].sort((a, b) => a.index - b.index)
  }

  /** A strategy that fails costs its ruling, not the votes. */
  async #rule(): Promise<Ruling | undefined> {
    const ballot = this.#ballot()
    if (ballot.votes.length === 0) return undefined
    const { strategy, prompt, options, slots, kind } = this.#plan
    const decide = async () =>
      strategy.decide(ballot, {
        get prompt() {
          return promptFor(prompt, slots[0] as MemberSlot)
        },
        options,
        instruction: kind.instruction,
        read: (response) => kind.read(response),
        shuffle: this.#shuffle,
        consult: (role, llm, question, given) => this.#consult(role, llm, question, given),
      })
    try {
      return await this.#inTime(decide())
    } catch (error) {
      const reason = `The strategy ${strategy.name} failed (${messageOf(error)}); this is the answer with the most votes.`
      return { ...rulingOf(ballot), isAgreed: false, isDegraded: true, reason }
    }
  }

  /** A ruling: a function that never gives one, as an embedding that hangs, holds neither the deadline nor a cancel. */
  async #inTime(ruling: Promise<Ruling>): Promise<Ruling> {
    const { timeoutMs = Infinity } = this.#plan
    const { signal } = this.#ended
    let timer: NodeJS.Timeout | undefined
    let leave = () => {}
    const late = new Promise<never>((_, reject) => {
      const error = new Error(`no ruling within timeoutMs ${timeoutMs}`)
      // Whom it asks ends by the same deadline, and what the strategy makes of that comes first.
      leave = () => void Promise.all(this.#consulting).then(() => setImmediate(() => reject(error)))
    })
    const stopListening = onAbort(signal, () => leave())
    const leftMs = Math.max(0, this.#timeLeft())
    if (leftMs <= maxTimerMs) timer = setTimeout(leave, leftMs)
    try {
      return await Promise.race([ruling, late])
    } finally {
      clearTimeout(timer)
      stopListening()
    }
  }

  async #consult(
    role: string,
    llm: Member,
    prompt: Prompt,
    options: GenerateOptions = {},
  ): Promise<GenerateResponse> {
    this.#throwIfCancelled()
    const round = this.#round
    const { provider = 'member', model } = llm
    if (this.#timeLeft() <= 0) {
      const error = new ConvokeError('timeout', `No time is left of timeoutMs for the ${role}.`, {
        phase: 'total',
        isRetryable: false,
      })
      this.#consultations.push({ role, provider, model, round, timeMs: 0, error })
      throw error
    }
    this.#tell({ type: 'consultation', round, role })
    const call = this.#call({ key: role, index: -1, provider, model, member: llm })
    const asked = call.settle(async () => llm.agenerate(prompt, { ...options, signal: call.signal }))
    this.#consulting.add(asked)
    const result = await asked
    this.#consulting.delete(asked)
    this.#calls.delete(call)
    const { key: _key, index: _index, ...facts } = result
    this.#consultations.push({ role, round, ...facts } as Consultation)
    if (result.response) return result.response
    throw isConvokeError(result.error) ? result.error : new ConvokeError('malformed_response', role)
  }

  #findings(ruling?: Ruling): Findings {
    return {
      slots: this.#plan.slots,
      ballot: this.#ballot(),
      ruling,
      failures: this.#failures,
      results: this.#results,
      consultations: this.#consultations,
      strategy: this.#plan.strategy.name,
      rounds: this.#round,
      stopped: this.#stopped,
      savedAtMostMs: this.#savedAtMostMs,
      timeMs: performance.now() - this.#startedAtMs,
    }
  }
}

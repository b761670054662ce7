/** One consensus while it runs: rounds of calls, the votes as they come in, a ruling, and the verdict. */
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

/** The arguments of a consensus, checked and with defaults. */
export interface Plan {
  slots: readonly MemberSlot[]
  weights: readonly number[]
  prompt: PromptForMembers
  /** The options of every member's call. */
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
  readonly #emit: (event: ConsensusEvent) => void
  readonly #shuffle: <Value>(values: readonly Value[]) => Value[]
  readonly #startedAtMs = performance.now()
  /** The last vote of each member, by its index. */
  readonly #votes = new Map<number, Vote>()
  readonly #failures: MemberFailure[] = []
  readonly #results: Findings['results'][number][] = []
  readonly #consultations: Consultation[] = []
  /** The calls in flight. */
  readonly #calls = new Set<MemberCall>()
  /** The consultations in flight. */
  readonly #pendingConsultations = new Set<Promise<MemberResult>>()
  readonly #ended = new AbortController()
  #round = 0
  #outstanding: readonly MemberSlot[] = []
  #stopped: string[] = []
  #savedAtMostMs: number | undefined
  #cancelled: ConvokeError | undefined

  constructor(plan: Plan, emit: (event: ConsensusEvent) => void) {
    this.#plan = plan
    this.#emit = emit
    this.#shuffle = shuffler(plan.shuffleSeed)
  }

  /** @throws ConvokeError `cancelled`, or the `timeout` that its caller's signal carries, with the cost in `partial` */
  async run(): Promise<Verdict> {
    const { signal, rounds } = this.#plan
    const stopListening = onAbort(signal, (reason) => this.cancel(reason))
    // Counts as a call of its own: the strategy and the prompts may be functions of the caller, called while no member's
    // call runs.
    const end = beginCall()
    try {
      let { slots } = this.#plan
      for (;;) {
        this.#throwIfCancelled()
        await this.#runRound(slots)
        this.#throwIfCancelled()
        const ruling = await this.#rule()
        this.#throwIfCancelled()
        const isLast = this.#round >= rounds || this.#votes.size < 2 || this.#timeLeftMs() <= 0
        if (isLast || this.#isEnough(ruling)) return verdictOf(this.#findings(ruling))
        // Members without an answer have none to reconsider.
        slots = this.#plan.slots.filter(({ index }) => this.#votes.has(index))
      }
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

  #timeLeftMs(): number {
    return (this.#plan.timeoutMs ?? Infinity) - (performance.now() - this.#startedAtMs)
  }

  /** Ends when all members have answered or failed, or when no outstanding answer can change the result. */
  async #runRound(slots: readonly MemberSlot[]): Promise<void> {
    const round = ++this.#round
    const prompts = this.#prompts(slots)
    this.#outstanding = slots
    this.#emit({ type: 'round', round, members: slots.map(({ key }) => key) })
    const calls = slots.map((slot) => this.#openCall(slot))
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
      // Stopped members are awaited too: their usage is known then, and their sockets are closing.
      void Promise.all(answers).then(() => resolve(), reject)
    })
  }

  #openCall(slot: MemberSlot): MemberCall {
    const ownMs = this.#plan.memberDeadlines[slot.index] ?? Infinity
    const leftMs = Math.max(1, this.#timeLeftMs())
    const limit = ownMs <= leftMs ? `memberTimeoutMs ${ownMs}` : `timeoutMs ${this.#plan.timeoutMs}`
    const call = new MemberCall(slot, undefined, Math.min(ownMs, leftMs), limit)
    this.#calls.add(call)
    return call
  }

  #stream({ slot, signal }: MemberCall, prompt: Prompt | Error | undefined): Promise<GenerateResponse> {
    if (prompt instanceof Error) throw prompt
    // A stream, as vendors stop writing, and charging, when a stream is cancelled.
    return slot.member.stream(prompt as Prompt, { ...this.#plan.options, signal }).response
  }

  /** Made in the members' order, so that the shuffled answers do not depend on which member answers first. */
  #prompts(slots: readonly MemberSlot[]): Map<number, Prompt | Error> {
    const votes = this.#votesInOrder()
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
    this.#emit({ type: 'answer', round, member, response, timeMs })
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
    this.#emit({ type: 'vote', round, member, answer, standings, outstanding: this.#outstanding.length })
  }

  /**
   * @throws ConvokeError `invalid_output` for a reply without an answer, and for an answer that cannot be compared because
   * the caller's `normalize` fails on it
   */
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
    this.#emit({ type: 'failure', round, member, error, timeMs })
  }

  /** Whether no outstanding answer can change the result. Before the last round, only an agreement is certain enough. */
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
    const remainingMs = this.#outstanding.map(({ index }) => {
      const call = calls.find(({ slot }) => slot.index === index)
      const ownMs = this.#plan.memberDeadlines[index] ?? Infinity
      const takenMs = performance.now() - (call?.startedAtMs ?? 0)
      return Math.min(ownMs - takenMs, this.#timeLeftMs())
    })
    const longestMs = Math.max(...remainingMs)
    this.#savedAtMostMs = longestMs === Infinity ? undefined : Math.max(0, longestMs)
    for (const { index, key } of this.#outstanding) {
      calls.find(({ slot }) => slot.index === index)?.cancel('the consensus is decided')
      this.#emit({ type: 'stopped', round: this.#round, member: key })
    }
  }

  /** A member that failed in this round keeps its vote of an earlier one; a member that may still answer has none. */
  #ballot(): Ballot {
    const open = new Set(this.#outstanding.map(({ index }) => index))
    const votes = this.#votesInOrder().filter(({ index }) => !open.has(index))
    const outstanding = this.#outstanding.map((slot) => ({
      ...infoOf(slot),
      weight: this.#plan.weights[slot.index] ?? 1,
    }))
    const { equality, quorum, byField } = this.#plan
    return { votes, outstanding, quorum, questions: questionsOn(votes, byField), ...equality }
  }

  #votesInOrder(): Vote[] {
    return [...this.#votes.values()].sort((a, b) => a.index - b.index)
  }

  /** When the strategy fails, the plain count of the votes is the ruling. */
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

  /** Bounds the strategy's time: a function of the caller that hangs delays neither the deadline nor a cancel. */
  async #inTime(ruling: Promise<Ruling>): Promise<Ruling> {
    const { timeoutMs = Infinity } = this.#plan
    const { signal } = this.#ended
    let timer: NodeJS.Timeout | undefined
    let giveUp = () => {}
    const late = new Promise<never>((_, reject) => {
      const error = new Error(`no ruling within timeoutMs ${timeoutMs}`)
      // Consultations end at the same deadline. The strategy gets their errors first, and may still rule.
      giveUp = () =>
        void Promise.all(this.#pendingConsultations).then(() => setImmediate(() => reject(error)))
    })
    const stopListening = onAbort(signal, () => giveUp())
    const leftMs = Math.max(0, this.#timeLeftMs())
    if (leftMs <= maxTimerMs) timer = setTimeout(giveUp, leftMs)
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
    if (this.#timeLeftMs() <= 0) {
      const error = new ConvokeError('timeout', `No time is left of timeoutMs for the ${role}.`, {
        phase: 'total',
        isRetryable: false,
      })
      this.#consultations.push({ role, provider, model, round, timeMs: 0, error })
      throw error
    }
    this.#emit({ type: 'consultation', round, role })
    const call = this.#openCall({ key: role, index: -1, provider, model, member: llm })
    const pending = call.settle(async () => llm.agenerate(prompt, { ...options, signal: call.signal }))
    this.#pendingConsultations.add(pending)
    const result = await pending
    this.#pendingConsultations.delete(pending)
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

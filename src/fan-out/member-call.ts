/** One member's call, and what ends it. */
import { ConvokeError, abortedError, isConvokeError, totalTimeoutError, messageOf } from '../errors.ts'
import { onAbort } from '../policies/cancellation.ts'
import { maxTimerMs } from '../policies/deadline.ts'
import type { GenerateResponse, Usage } from '../types.ts'
import { noUsage, sumKnown, sumUsage } from '../usage/sum-usage.ts'
import type { MemberResult, MemberSlot } from './members.ts'
import { infoOf } from './members.ts'

/** What a call took: its reply, and what a combined LLM lost beside it. */
function spentOn(reply: GenerateResponse): { usage: Usage; costUsd?: number } {
  const { usage, costUsd, otherAttempts: lost = [], fromCache } = reply
  const own = fromCache ? noUsage : usage
  const cost = sumKnown([costUsd, ...lost.map((one) => one.costUsd)])
  return {
    usage: lost.length > 0 ? sumUsage([own, ...lost.map((one) => one.usage)]) : own,
    ...(cost === undefined ? {} : { costUsd: cost }),
  }
}

/** What a member that was cancelled has to end: a session writes to its disk, a cache to its store. */
const graceMs = 1_000

/** One member's call: the caller's signal, its deadline and a cancel of its own in one signal. */
export class MemberCall {
  readonly slot: MemberSlot
  readonly startedAtMs = performance.now()
  /** It did not listen to its cancel: nothing more of it is waited for. */
  isLeft = false
  readonly #controller = new AbortController()
  readonly #stopListening: () => void
  readonly #timer: NodeJS.Timeout | undefined

  /** @param limit how its error calls the deadline */
  constructor(
    slot: MemberSlot,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    limit = `timeoutMs ${timeoutMs}`,
  ) {
    this.slot = slot
    this.#stopListening = onAbort(signal, (reason) => this.cancel(reason))
    if (timeoutMs === undefined || timeoutMs > maxTimerMs) return
    this.#timer = setTimeout(() => {
      this.cancel(totalTimeoutError(`There was no answer within ${limit}.`))
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
      this.#stopListening()
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
      onAbort(this.signal, () => (timer = setTimeout(leave, graceMs)))
    })
    try {
      return await Promise.race([asked, left])
    } finally {
      clearTimeout(timer)
    }
  }

  #facts() {
    return { ...infoOf(this.slot), timeMs: performance.now() - this.startedAtMs }
  }

  #failure(thrown: unknown): ConvokeError {
    const { provider, model } = this.slot
    const who = { provider, ...(model ? { model } : {}) }
    const { aborted, reason } = this.signal
    if (!isConvokeError(thrown)) {
      // One of the caller's own may end by any error, once it is told to.
      if (aborted) return abortedError(reason, { ...who, cause: thrown })
      const message = messageOf(thrown)
      return new ConvokeError('malformed_response', `The member failed: ${message}`, {
        ...who,
        cause: thrown,
      })
    }
    // One of the caller's own may throw the reason itself, or cancel what it asked by a signal of its own.
    if (!aborted || (thrown !== reason && thrown.code !== 'cancelled')) return thrown
    const { attempts, partial } = thrown
    const cause = thrown === reason ? {} : { cause: thrown }
    const ended = abortedError(reason, { ...who, attempts, ...cause, ...(partial ? { partial } : {}) })
    return thrown === reason || ended.code === 'timeout' ? ended : thrown
  }
}

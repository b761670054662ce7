/** One member's call, with its deadline and its cancel. */
import { ConvokeError, abortedError, isConvokeError, totalTimeoutError, messageOf } from '../errors.ts'
import { onAbort } from '../policies/cancellation.ts'
import { maxTimerMs } from '../policies/deadline.ts'
import type { GenerateResponse, Usage } from '../types.ts'
import { noUsage, sumKnown, sumUsage } from '../usage/sum-usage.ts'
import type { MemberResult, MemberSlot } from './members.ts'
import { infoOf } from './members.ts'

/** The usage and cost of a reply, including the other attempts of a combined LLM. */
function spentOn(reply: GenerateResponse): { usage: Usage; costUsd?: number } {
  const { usage, costUsd, otherAttempts = [], fromCache } = reply
  const own = fromCache ? noUsage : usage
  const cost = sumKnown([costUsd, ...otherAttempts.map((one) => one.costUsd)])
  return {
    usage: otherAttempts.length > 0 ? sumUsage([own, ...otherAttempts.map((one) => one.usage)]) : own,
    ...(cost === undefined ? {} : { costUsd: cost }),
  }
}

/** A cancelled member has this long to end: a session writes to its disk, a cache to its store. */
const graceMs = 1_000

/** Joins the caller's signal, the deadline and the call's own cancel in one signal. */
export class MemberCall {
  readonly slot: MemberSlot
  readonly startedAtMs = performance.now()
  /** The member ignored its signal, and is no longer waited for. */
  isAbandoned = false
  readonly #controller = new AbortController()
  readonly #stopListening: () => void
  readonly #timer: NodeJS.Timeout | undefined

  /** @param limit the deadline in the words of its error */
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
    // A stream that nobody reads must not keep the process alive.
    this.#timer.unref()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  cancel(reason?: unknown): void {
    this.#controller.abort(reason)
  }

  /** The result of the call; never rejects. */
  async settle(ask: () => PromiseLike<GenerateResponse>): Promise<MemberResult> {
    this.#timer?.ref()
    try {
      const response = await this.#unlessAbandoned(ask())
      return { ...this.#facts(), response, ...spentOn(response) }
    } catch (thrown) {
      const error = this.#failure(thrown)
      return { ...this.#facts(), error, ...(error.partial ? spentOn(error.partial) : {}) }
    } finally {
      clearTimeout(this.#timer)
      this.#stopListening()
    }
  }

  /** @throws ConvokeError `cancelled` when the member ignores its signal for `graceMs` */
  async #unlessAbandoned(reply: PromiseLike<GenerateResponse>): Promise<GenerateResponse> {
    let timer: NodeJS.Timeout | undefined
    const abandoned = new Promise<never>((_, reject) => {
      const message = `The member did not end within ${graceMs} ms of its cancellation.`
      const abandon = () => {
        this.isAbandoned = true
        reject(new ConvokeError('cancelled', message))
      }
      onAbort(this.signal, () => (timer = setTimeout(abandon, graceMs)))
    })
    try {
      return await Promise.race([reply, abandoned])
    } finally {
      clearTimeout(timer)
    }
  }

  #facts() {
    return { ...infoOf(this.slot), timeMs: performance.now() - this.startedAtMs }
  }

  #failure(thrown: unknown): ConvokeError {
    const { provider, model } = this.slot
    const source = { provider, ...(model ? { model } : {}) }
    const { aborted, reason } = this.signal
    if (!isConvokeError(thrown)) {
      // A member of the caller's own may throw any error when its signal aborts.
      if (aborted) return abortedError(reason, { ...source, cause: thrown })
      const message = messageOf(thrown)
      return new ConvokeError('malformed_response', `The member failed: ${message}`, {
        ...source,
        cause: thrown,
      })
    }
    // A member of the caller's own may throw the reason itself, or `cancelled` because it cancelled a call inside it.
    if (!aborted || (thrown !== reason && thrown.code !== 'cancelled')) return thrown
    const { attempts, partial } = thrown
    const cause = thrown === reason ? {} : { cause: thrown }
    const ended = abortedError(reason, { ...source, attempts, ...cause, ...(partial ? { partial } : {}) })
    return thrown === reason || ended.code === 'timeout' ? ended : thrown
  }
}

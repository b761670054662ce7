/** Small requests beside an LLM's calls: lists of models, counts of tokens. A server that is silent ends them. */
import { beginCall } from '../threads/calls-in-flight.ts'
import { ConvokeError, abortedError } from '../errors.ts'
import { Deadline } from '../policies/deadline.ts'
import type { Timeouts } from '../options/generate-options.ts'

type Limit = 'idleMs' | 'firstChunkMs'

export class SideRequests {
  readonly #provider: string
  readonly #limits: Required<Pick<Timeouts, Limit>>
  /** What runs, and what says that it is over. */
  readonly #running = new Map<Deadline, () => void>()

  constructor(provider: string, limits: Required<Pick<Timeouts, Limit>>) {
    this.#provider = provider
    this.#limits = limits
  }

  /** May be silent for `idleMs`; `touch` says that something came. @throws ConvokeError `timeout`, `cancelled` */
  async run<T>(
    signal: AbortSignal | undefined,
    work: (ended: AbortSignal, touch: () => void) => Promise<T>,
  ): Promise<T> {
    const deadline = this.begin(signal, 'idleMs')
    try {
      return await Promise.race([work(deadline.signal, () => deadline.touch()), deadline.aborted])
    } finally {
      this.end(deadline)
    }
  }

  begin(signal: AbortSignal | undefined, limit: Limit): Deadline {
    const provider = this.#provider
    const deadline = new Deadline(signal, this.#limits[limit], {
      cancelled: (cause) => abortedError(cause, { provider }, 'request'),
      expired: (silenceMs) => {
        const message = `The server said nothing for ${limit} ${silenceMs}.`
        return new ConvokeError('timeout', message, { provider, phase: 'idle' })
      },
    })
    this.#running.set(deadline, beginCall())
    return deadline
  }

  end(deadline: Deadline): void {
    deadline.release()
    this.#running.get(deadline)?.()
    this.#running.delete(deadline)
  }

  cancel(reason: string): void {
    for (const deadline of this.#running.keys()) deadline.cancel(reason)
  }
}

/** Runs the requests beside an LLM's calls: lists of models, counts of tokens. A silent server ends them. */
import { beginCall } from '../threads/calls-in-flight.ts'
import { ConvokeError, abortedError } from '../errors.ts'
import { Deadline } from '../policies/deadline.ts'
import type { Timeouts } from '../options/generate-options.ts'

type Limit = 'idleMs' | 'firstChunkMs'

export class SideRequests {
  readonly #provider: string
  readonly #limits: Required<Pick<Timeouts, Limit>>
  /** The deadlines of the requests that run, each with the function that ends its count as a call in flight. */
  readonly #running = new Map<Deadline, () => void>()

  constructor(provider: string, limits: Required<Pick<Timeouts, Limit>>) {
    this.#provider = provider
    this.#limits = limits
  }

  /**
   * Runs a request, which the server's silence of `idleMs` ends.
   * @param send calls `touch` whenever the server has sent something
   * @throws ConvokeError `timeout`, `cancelled`
   */
  async run<T>(
    signal: AbortSignal | undefined,
    send: (ended: AbortSignal, touch: () => void) => Promise<T>,
  ): Promise<T> {
    const deadline = this.begin(signal, 'idleMs')
    try {
      return await Promise.race([send(deadline.signal, () => deadline.touch()), deadline.aborted])
    } finally {
      this.end(deadline)
    }
  }

  /** Starts the deadline of a request. The caller has to end it. */
  begin(signal: AbortSignal | undefined, limit: Limit): Deadline {
    const provider = this.#provider
    const deadline = new Deadline(signal, this.#limits[limit], {
      cancelled: (cause) => abortedError(cause, { provider }, 'request'),
      expired: (silenceMs) => {
        const message = `The server sent nothing for ${limit} ${silenceMs}.`
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

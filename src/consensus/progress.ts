/** The events of a running consensus. */
import type { ConvokeError } from '../errors.ts'
import type { GenerateResponse } from '../types.ts'
import type { Verdict } from './verdict.ts'

/** An answer in the count so far: the weight of its votes, and the members that gave it. */
export interface Standing {
  /** The answer, in the words of the first member that gave it. */
  answer: unknown
  /** The sum of its votes' weights. */
  weight: number
  /** The keys of the members that gave it. */
  members: string[]
}

/** One step of a consensus, told apart by `type`. Times are in milliseconds, and rounds count from 1. */
export type ConsensusEvent<Answer = unknown> =
  /** A round begins, the first or a further one: these members are asked. */
  | { type: 'round'; round: number; members: string[] }
  /** A member answered. A `vote` follows, or a `failure` where the reply gives no answer. */
  | { type: 'answer'; round: number; member: string; response: GenerateResponse; timeMs: number }
  /** A member's vote was counted. `standings` has the count, the strongest answer first; `outstanding` members are waited for. */
  | {
      type: 'vote'
      round: number
      member: string
      answer: Answer
      standings: Standing[]
      outstanding: number
    }
  /** A member's call failed, or its reply gave no answer. */
  | { type: 'failure'; round: number; member: string; error: ConvokeError; timeMs: number }
  /** A member is no longer waited for: its answer cannot change the result. */
  | { type: 'stopped'; round: number; member: string }
  /** A judge or a synthesizer is asked. */
  | { type: 'consultation'; round: number; role: string }
  /** The last event. */
  | { type: 'decided'; verdict: Verdict<Answer> }

/**
 * Events for any number of readers, each of which gets them from the first on. All events are kept: there are only a few
 * for each member.
 */
export class EventLog<Event> {
  readonly #events: Event[] = []
  #waiting: (() => void)[] = []
  #end: { error?: unknown } | undefined

  add(event: Event): void {
    this.#events.push(event)
    this.#wake()
  }

  end(outcome: { error?: unknown } = {}): void {
    this.#end = outcome
    this.#wake()
  }

  /** @param onLeave is called when the reader leaves before the end */
  async *read(onLeave: () => void): AsyncGenerator<Event, void, void> {
    let isComplete = false
    try {
      for (let at = 0; ; at++) {
        while (at >= this.#events.length && !this.#end) {
          await new Promise<void>((resolve) => this.#waiting.push(resolve))
        }
        if (at >= this.#events.length) break
        yield this.#events[at] as Event
      }
      isComplete = true
      if (this.#end && 'error' in this.#end) throw this.#end.error
    } finally {
      if (!isComplete) onLeave()
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

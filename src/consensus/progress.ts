/** What a consensus tells while it runs. */
import type { ConvokeError } from '../errors.ts'
import type { GenerateResponse } from '../types.ts'
import type { Verdict } from './verdict.ts'

/** An answer, how much stands behind it, and whose. */
export interface Standing {
  answer: unknown
  weight: number
  members: string[]
}

export type ConsensusEvent<Answer = unknown> =
  /** Members are asked, in the first round or a further one. */
  | { type: 'round'; round: number; members: string[] }
  /** A member answered; it is counted next, or fails, where it cannot be. */
  | { type: 'answer'; round: number; member: string; response: GenerateResponse; timeMs: number }
  /** A member's vote was counted: how the count stands (the strongest first), and for how many it waits. */
  | {
      type: 'vote'
      round: number
      member: string
      answer: Answer
      standings: Standing[]
      outstanding: number
    }
  | { type: 'failure'; round: number; member: string; error: ConvokeError; timeMs: number }
  /** A member is not waited for: the result is certain. */
  | { type: 'stopped'; round: number; member: string }
  /** A judge or a synthesizer is asked. */
  | { type: 'consultation'; round: number; role: string }
  /** The end. */
  | { type: 'decided'; verdict: Verdict<Answer> }

/** Events for any number of readers, each from the first on: a few for each member, so all are kept. */
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

  /** @param onLeave the reader left before the end */
  async *read(onLeave: () => void): AsyncGenerator<Event, void, void> {
    let isWhole = false
    try {
      for (let at = 0; ; at++) {
        while (at >= this.#events.length && !this.#end) {
          await new Promise<void>((resolve) => this.#waiting.push(resolve))
        }
        if (at >= this.#events.length) break
        yield this.#events[at] as Event
      }
      isWhole = true
      if (this.#end && 'error' in this.#end) throw this.#end.error
    } finally {
      if (!isWhole) onLeave()
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

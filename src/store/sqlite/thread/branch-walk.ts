/** Walks a branch from its end. What lies before a settled message never changes, so a walk can be kept and extended. */
import type { Branch, Segment } from './branch-segments.ts'
import type { Connection } from './connection.ts'

/** Rows of one statement. */
const stepRows = 2_000
/** Most rows of a walk that is kept for the next search: some 20 MB. */
const maxKeptRows = 500_000

const selectStep = `WITH RECURSIVE branch (sequence, parent, owner) AS (
    SELECT sequence, parent, session_id FROM messages WHERE sequence = ?
    UNION ALL
    SELECT m.sequence, m.parent, m.session_id FROM branch b JOIN messages m ON m.sequence = b.parent LIMIT ?
  ) SELECT sequence, parent, owner FROM branch`

interface Step {
  sequence: number
  parent: number | null
  owner: string
}

/** Walks back from a branch's end, no further than needed. 100,000 messages take some 50 ms. */
export class BranchWalk implements Branch {
  readonly end: number | null
  readonly #connection: Connection
  readonly #sequences: Set<number>
  readonly #segments: Map<string, Segment>
  /** Where the walk goes on; null when it has reached the beginning. */
  #next: number | null

  /** @param known an earlier walk. When its end is near on this branch, only the messages behind it are walked. */
  constructor(connection: Connection, end: number | null, known?: BranchWalk) {
    this.#connection = connection
    this.end = end
    this.#next = end
    this.#sequences = new Set()
    this.#segments = new Map()
    if (!known || known.end === null) return
    const fresh = this.#step(end)
    const at = fresh.findIndex(({ sequence }) => sequence === known.end)
    if (at < 0) return
    this.#sequences = known.#sequences
    this.#segments = known.#segments
    fresh.slice(0, at).forEach((step) => this.#add(step))
    this.#next = known.#next
  }

  get isWorthKeeping(): boolean {
    return this.#sequences.size <= maxKeptRows
  }

  contained(candidates: readonly number[]): Set<number> {
    const wanted = new Set(candidates)
    const found = new Set(candidates.filter((sequence) => this.#sequences.has(sequence)))
    while (found.size < wanted.size && this.#next !== null)
      for (const sequence of this.#walk()) if (wanted.has(sequence)) found.add(sequence)
    return found
  }

  segments(): Segment[] {
    while (this.#next !== null) this.#walk()
    return [...this.#segments.values()].sort((one, other) => other.to - one.to)
  }

  #walk(): number[] {
    const steps = this.#step(this.#next)
    steps.forEach((step) => this.#add(step))
    this.#next = steps.at(-1)?.parent ?? null
    return steps.map(({ sequence }) => sequence)
  }

  #step(from: number | null): Step[] {
    return from === null ? [] : this.#connection.all<Step>(selectStep, from, stepRows)
  }

  #add({ sequence, owner }: Step): void {
    this.#sequences.add(sequence)
    const segment = this.#segments.get(owner)
    if (!segment) this.#segments.set(owner, { owner, from: sequence, to: sequence })
    else {
      segment.from = Math.min(segment.from, sequence)
      segment.to = Math.max(segment.to, sequence)
    }
  }
}

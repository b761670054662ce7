/** Random conversations: a search of the whole store finds what the histories of its sessions have, and that only. */
import assert from 'node:assert/strict'
import SQLite from 'better-sqlite3'
import { test } from 'vitest'
import type { Store, StoredMessage } from '../../src/store/store.ts'
import { idsOf, openStore, text, user } from '../support/store-kit.ts'

const runs = Number(process.env['RUNS'] ?? 25)
const steps = 60

/** A generator with a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = Math.imul(seed + 1, 2_654_435_761) >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** What a user of a few sessions may do, in any order. */
class Model {
  readonly store: Store
  readonly #next: () => number
  readonly #habits: ((sessionId: string) => Promise<void>)[]
  readonly #running = new Map<string, string>()
  #made = 0

  constructor(store: Store, next: () => number) {
    this.store = store
    this.#next = next
    const steps = [this.turn, this.begin, this.end, this.repeat, this.add, this.fork, this.open]
    // Each run does some of it often and some never: evenly mixed, none of it goes far.
    this.#habits = [...steps, this.compact, this.clear, this.delete].flatMap((step) =>
      Array.from({ length: this.#below(5) }, () => step),
    )
    this.#habits.push(this.turn, this.fork)
  }

  async step(): Promise<string> {
    const step = this.#pick(this.#habits)
    const sessionId = this.#pick((await this.store.list()).map(({ id }) => id))
    if (sessionId === undefined) await this.open()
    else await step.call(this, sessionId)
    return `${step.name} ${sessionId}`
  }

  async open(): Promise<void> {
    await this.store.open({ id: this.#sessionName() })
  }

  async turn(sessionId: string): Promise<void> {
    await this.begin(sessionId)
    await this.end(sessionId)
  }

  async begin(sessionId: string): Promise<void> {
    const replyId = this.#messageName()
    const messages = [this.#said(), this.#said()].slice(this.#below(2))
    const answer = await this.store.beginTurn({ sessionId, replyId, messages, writer: this.store.writer })
    if (answer.kind === 'begun') this.#running.set(sessionId, replyId)
  }

  async end(sessionId: string): Promise<void> {
    const replyId = this.#running.get(sessionId)
    if (replyId === undefined) return
    this.#running.delete(sessionId)
    await this.store.appendDelta(replyId, { number: 0, parts: text('word') })
    if (this.#next() < 0.2) await this.store.interruptTurn(replyId, 1)
    const status = this.#next() < 0.5 ? 'failed' : 'complete'
    // After the interruption it is a writer that was taken for dead.
    if (this.#next() < 0.9) await this.store.endTurn(replyId, { status, content: text('word') })
    else await this.store.interruptTurn(replyId, 1)
  }

  async repeat(sessionId: string): Promise<void> {
    const [last] = await this.store.readMessages(sessionId, { limit: 1 })
    if (last?.role !== 'assistant' || last.status === 'complete' || last.status === 'streaming') return
    const replyId = this.#messageName()
    const request = { sessionId, replyId, messages: [], writer: this.store.writer, repeats: last.id }
    if ((await this.store.beginTurn(request)).kind === 'begun') this.#running.set(sessionId, replyId)
    if (this.#next() < 0.5) await this.end(sessionId)
  }

  async add(sessionId: string): Promise<void> {
    const failed = { ...this.#said(), role: 'assistant', status: 'failed' } as const
    const added = this.#next() < 0.3 ? [{ ...failed, content: text('word') }] : [this.#said()]
    const before = idsOf(await this.store.readMessages(sessionId, { includeCompacted: true }))
    await this.store.addMessages(sessionId, added)
    const after = idsOf(await this.store.readMessages(sessionId, { includeCompacted: true }))
    assert.deepEqual(new Set(after), new Set([...before, ...idsOf(added as StoredMessage[])]))
  }

  async fork(sessionId: string): Promise<void> {
    const id = this.#sessionName()
    if (await this.store.find(id)) return
    const messages = await this.store.readMessages(sessionId, { includeCompacted: this.#next() < 0.5 })
    const settled = messages.slice(0, Math.max(0, messages.length - (this.#running.has(sessionId) ? 3 : 0)))
    const at = this.#next() < 0.5 ? undefined : this.#pick(idsOf(settled))
    await this.store.forkSession(sessionId, { id }, at)
  }

  async clear(sessionId: string): Promise<void> {
    await this.store.clearSession(sessionId)
  }

  async delete(sessionId: string): Promise<void> {
    this.#running.delete(sessionId)
    await this.store.deleteSession(sessionId)
  }

  async compact(sessionId: string): Promise<void> {
    const messages = await this.store.readMessages(sessionId)
    const settled = messages.slice(0, Math.max(0, messages.length - (this.#running.has(sessionId) ? 3 : 0)))
    const upTo = this.#pick(settled.filter(({ role }) => role !== 'summary'))
    const summary = { id: this.#messageName(), role: 'summary', content: text('word') } as const
    if (upTo) await this.store.compact(sessionId, summary, upTo.id)
  }

  /** Of few, so that the id of a session that was deleted comes again. */
  #sessionName(): string {
    return `s${this.#below(6)}`
  }

  #messageName(): string {
    return `m${this.#made++}`
  }

  #said() {
    return user(this.#messageName(), 'word')
  }

  #below(bound: number): number {
    return Math.floor(this.#next() * bound)
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)] as T
  }
}

/** All that the history of a session shows, with or without what was compacted, but for a reply that is written. */
async function historyOf(store: Store, sessionId: string): Promise<Set<string>> {
  const messages = [
    ...(await store.readMessages(sessionId)),
    ...(await store.readMessages(sessionId, { includeCompacted: true })),
  ]
  return new Set(idsOf(messages.filter(({ status }) => status !== 'streaming')))
}

async function compare(store: Store, place: string): Promise<number> {
  const all = new Set<string>()
  const histories = new Map<string, Set<string>>()
  for (const { id } of await store.list()) {
    const history = await historyOf(store, id)
    histories.set(id, history)
    for (const one of history) all.add(one)
    const hits = await store.search('word', { sessionId: id, limit: 1_000 })
    assert.deepEqual(new Set(hits.map(({ message }) => message.id)), history, `${place}: session ${id}`)
    assert.equal(hits.length, history.size, `${place}: session ${id}`)
    assert.ok(
      hits.every(({ sessionId }) => sessionId === id),
      place,
    )
  }
  const hits = await store.search('word', { limit: 1_000 })
  assert.deepEqual(new Set(hits.map(({ message }) => message.id)), all, place)
  assert.equal(hits.length, all.size, place)
  for (const { sessionId, message } of hits)
    assert.ok(histories.get(sessionId)?.has(message.id), `${place}: ${message.id} is not in ${sessionId}`)
  return all.size
}

test('a search of the store finds the histories of its sessions, and nothing else', async (t) => {
  const first = Number(process.env['SEED'] ?? 0)
  let compared = 0
  const { store, path } = openStore(t, { durability: 'normal' })
  const database = new SQLite(path)
  t.onTestFinished(() => void database.close())
  for (let seed = first; seed < first + runs; seed++) {
    const next = random(seed)
    const model = new Model(store, next)
    const done: string[] = []
    for (let step = 0; step < steps; step++) {
      done.push(await model.step())
      if (step % 10 === 9) compared += await compare(store, `seed ${seed}, ${done.join(', ')}`)
    }
    for (const { id } of (await store.list()).sort(() => next() - 0.5)) {
      await model.delete(id)
      compared += await compare(store, `seed ${seed}, ${done.join(', ')}, deleted ${id}`)
    }
    const left = database.prepare('SELECT id FROM messages').pluck().all()
    assert.deepEqual(left, [], `seed ${seed}, ${done.join(', ')}: left behind`)
  }
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  await t.annotate(`${runs} runs of ${steps} steps, ${compared} messages compared`)
})

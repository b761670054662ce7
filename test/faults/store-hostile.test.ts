/** Hostile ids, texts and searches: each is stored unchanged or refused, and none affects another. */
import assert from 'node:assert/strict'
import { isConvokeError } from 'convoke'
import { test } from 'vitest'
import { idsOf, openStore, text, textOf } from '../support/store-kit.ts'

const rounds = 600
const pieces = [
  ...[
    "'",
    '"',
    '`',
    ';',
    '--',
    '/*',
    '*/',
    '\0',
    '\n',
    '\r',
    '\u0001',
    '\u0002',
    '\u001B[2J',
    '\\',
    '%',
    '_',
    '*',
    '?',
  ],
  ...[
    'DROP TABLE messages',
    "'); DELETE FROM sessions; --",
    ' OR 1=1',
    'NULL',
    'NEAR(',
    ')',
    '{owner} :',
    'text:',
    '^',
    '+',
    '-',
  ],
  ...[
    'AND',
    'OR',
    'NOT',
    '(',
    '\uD800',
    '\uDFFF',
    '👩‍👩‍👧',
    '\u202E',
    '\uFEFF',
    '\u0301',
    '喜',
    'ß',
    'İ',
    '𝔘',
    '../',
    'file:',
    '__proto__',
  ],
  ...['constructor', 'word', '0', ' ', '\t', '?1', ':a', '@b', '$c', 'x'.repeat(300), 'a"b', "o'clock"],
]

/** A random generator with a seed, so that failures can be repeated. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test('hostile ids, texts and searches', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  await t.annotate(`seed ${seed}`)
  const next = random(seed)
  const pick = () => pieces[Math.floor(next() * pieces.length)] as string
  const hostile = () => Array.from({ length: 1 + Math.floor(next() * 5) }, pick).join(next() < 0.5 ? '' : ' ')
  const { store } = openStore(t, { durability: 'normal' })
  const expected = new Map<string, [id: string, said: string][]>()
  let refused = 0
  for (let round = 0; round < rounds; round++) {
    const sessionId = hostile()
    const id = `${round} ${hostile()}`
    const said = hostile()
    try {
      await store.open({ id: sessionId, system: said, metadata: { [said]: said } })
      await store.addMessages(sessionId, [{ id, role: 'user', content: text(said) }])
      expected.set(sessionId, [...(expected.get(sessionId) ?? []), [id, said.toWellFormed()]])
    } catch (error) {
      assert.ok(isConvokeError(error) && error.code === 'store_failed', String(error))
      assert.ok(
        [sessionId, id].some((one) => !one.isWellFormed() || one.length > 512),
        JSON.stringify([sessionId, id]),
      )
      refused++
    }
  }
  for (const [sessionId, messages] of expected) {
    const kept = await store.readMessages(sessionId)
    assert.deepEqual(
      kept.map((message) => [message.id, textOf(message)]),
      messages,
      JSON.stringify(sessionId),
    )
    assert.deepEqual(idsOf(await store.readMessages(sessionId, { limit: 1 })), [messages.at(-1)?.[0]])
  }
  let hits = 0
  let slowestMs = 0
  for (let round = 0; round < rounds; round++) {
    const [sessionId] = [...expected.keys()].slice(Math.floor(next() * expected.size))
    const query = hostile()
    const startedAt = performance.now()
    const found = await store.search(query, { sessionId: sessionId as string, limit: 50 })
    if (round > 0) slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    for (const { message } of found) assert.equal(message.sessionId, sessionId, JSON.stringify(query))
    hits += found.length
  }
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  for (const id of expected.keys()) await store.deleteSession(id)
  // A session whose message was refused exists, and is empty.
  for (const { id } of await store.list()) assert.deepEqual(await store.readMessages(id), [])
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  await t.annotate(
    `${rounds} ids and texts (${refused} refused), ${rounds} searches (${hits} hits, none crossed, slowest ${slowestMs.toFixed(0)} ms): 0 changed`,
  )
})

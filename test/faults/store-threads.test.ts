/** The thread of a store dies in five ways during a hundred writes, twenty times each. */
import { test } from 'vitest'
import './killable-workers.ts'
import assert from 'node:assert/strict'
import { idsOf, openStore } from '../support/store-kit.ts'
import { deaths, ways, writeUnderKill } from './killable-workers.ts'

const rounds = 20

test('no write is lost or doubled, however its thread dies', async (t) => {
  const { store } = openStore(t)
  const before = deaths
  let written = 0
  for (const way of ways)
    for (let round = 0; round < rounds; round++) {
      const sessionId = `${way} ${round}`
      await store.open({ id: sessionId })
      const ids = await writeUnderKill(store, sessionId, way)
      assert.deepEqual(idsOf(await store.readMessages(sessionId)), ids, sessionId)
      written += ids.length
    }
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  assert.ok(deaths - before >= ways.length * rounds, String(deaths - before))
  await t.annotate(`${written} writes under ${deaths - before} deaths of the thread: 0 lost, 0 doubled`)
})

/**
 * Fills the disk of a store, then frees it: `store-filler.ts PATH BALLAST`. It reports the errors and the stored
 * messages.
 */
import { rmSync } from 'node:fs'
import { isConvokeError } from 'convoke'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { half, idsOf, text, user } from '../support/store-kit.ts'
import { tell } from './fork-module.ts'

const [path, ballast] = process.argv.slice(2) as [string, string]
const store = sqliteStore({ path })
await store.open({ id: 's' })
await store.open({ id: 't' })
await half(store, 't', '1', [text('so far')])
const stored: string[] = []
const codes = new Set<string>()
const codeOf = (error: unknown) => (isConvokeError(error) ? error.code : String(error))
for (let at = 0, failures = 0; failures < 20; at++) {
  // Writes large and small messages together, because small ones may still fit when a large one fails.
  const writes = [
    [`small${at}`, 'x'],
    [`large${at}`, 'x'.repeat(20_000)],
    [`tiny${at}`, ''],
  ] as const
  await Promise.all(
    writes.map(([id, said]) =>
      store.addMessages('s', [user(id, said)]).then(
        () => stored.push(id),
        (error: unknown) => {
          codes.add(codeOf(error))
          failures++
        },
      ),
    ),
  )
}
const full = {
  codes: [...codes],
  stored: stored.length,
  kept: idsOf(await store.readMessages('s')),
  sent: stored,
}
rmSync(ballast, { force: true })
await store.addMessages('s', [user('after')])
await store.endTurn('a-1', { status: 'complete', content: text('so far and on') })
const kept = idsOf(await store.readMessages('s'))
const { isOk, problems } = await store.check()
await store.close()
tell({ ...full, last: kept.at(-1), after: kept.length, isOk, problems })
process.disconnect()

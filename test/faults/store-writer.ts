/**
 * Writes into a store until it is killed: `store-writer.ts PATH DURABILITY LIFE [REPEATED]`. It logs each write before
 * it begins (`> …`) and when it is acknowledged (`= …`), with synchronous writes that a kill cannot undo.
 */
import { writeSync } from 'node:fs'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { text, user } from '../support/store-kit.ts'

const [path, durability, life, repeated] = process.argv.slice(2) as [
  string,
  'full' | 'normal',
  string,
  string?,
]
const store = sqliteStore({ path, durability })

async function told(what: string, write: () => Promise<unknown>): Promise<void> {
  writeSync(1, `> ${what}\n`)
  await write()
  writeSync(1, `= ${what}\n`)
}

const add = (id: string) => told(`add ${id}`, () => store.addMessages('added', [user(id)]))

for (const id of ['added', 'turns']) await store.open({ id })
// Repeats the write whose acknowledgement the previous process did not get. It must be stored exactly once.
if (repeated) await add(repeated)
await Promise.all([adding(), turning()])

async function adding(): Promise<void> {
  for (let at = 0; ; at++) await add(`${life}-${at}`)
}

async function turning(): Promise<void> {
  for (let at = 0; ; at++) {
    const replyId = `a${life}-${at}`
    const messages = [user(`q${life}-${at}`)]
    await told(`begin ${replyId}`, async () => {
      const { kind } = await store.beginTurn({ sessionId: 'turns', replyId, messages, writer: store.writer })
      if (kind !== 'begun') throw new Error(`The turn ${replyId} is ${kind}`)
    })
    for (let number = 0; number < 6; number++)
      await told(`delta ${replyId} ${number}`, () =>
        store.appendDelta(replyId, { number, parts: text(`${number} `) }),
      )
    await told(`end ${replyId}`, () =>
      store.endTurn(replyId, { status: 'complete', content: text(`whole ${replyId}`) }),
    )
  }
}

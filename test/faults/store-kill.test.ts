/** A process that writes is killed 200 times at random moments, for each durability. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { test } from 'vitest'
import type { TestContext } from 'vitest'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { folderFor, idsOf, textOf } from '../support/store-kit.ts'

const kills = 200
const lanes = 4

interface Told {
  added: Set<string>
  begun: Set<string>
  ended: Set<string>
  /** The number of acknowledged deltas of each reply. */
  deltas: Map<string, number>
}

/** Runs the writer until it is killed. Returns the message that it was adding at that moment. */
async function live(
  path: string,
  durability: string,
  life: string,
  repeated: string,
  told: Told,
): Promise<string> {
  const args = [
    '--conditions=convoke-source',
    join(import.meta.dirname, 'store-writer.ts'),
    path,
    durability,
    life,
    repeated,
  ]
  // Uses a file instead of a pipe, because its content survives the kill, and it never fills up.
  const log = `${path}.${life}.log`
  const out = openSync(log, 'w')
  const child = spawn(process.execPath, args, { stdio: ['ignore', out, 'pipe'] })
  closeSync(out)
  let errors = ''
  child.stderr?.on('data', (bytes) => (errors += String(bytes)))
  const closed = once(child, 'close')
  while (statSync(log).size === 0 && child.exitCode === null) await setTimeout(5)
  await setTimeout(Math.random() * 120)
  child.kill('SIGKILL')
  await closed
  assert.equal(errors, '')
  const lines = readFileSync(log, 'utf8')
  rmSync(log)
  let adding = ''
  for (const line of lines.split('\n')) {
    const [mark, what, id = '', number] = line.split(' ')
    if (mark === '>' && what === 'add') adding = id
    if (mark !== '=') continue
    if (what === 'add') told.added.add(id)
    if (what === 'begin') told.begun.add(id)
    if (what === 'end') told.ended.add(id)
    if (what === 'delta') told.deltas.set(id, Number(number) + 1)
  }
  return told.added.has(adding) ? '' : adding
}

async function verify(path: string, told: Told): Promise<void> {
  const store = sqliteStore({ path })
  const added = idsOf(await store.readMessages('added'))
  assert.equal(new Set(added).size, added.length, 'no message twice')
  assert.deepEqual(
    [...told.added].filter((id) => !added.includes(id)),
    [],
    'no acknowledged message lost',
  )
  const messages = await store.readMessages('turns')
  const replies = new Map(
    messages.filter(({ role }) => role === 'assistant').map((reply) => [reply.id, reply]),
  )
  assert.equal(messages.length, replies.size * 2)
  assert.deepEqual(
    messages.map(({ turn }) => turn),
    messages.map((_, at) => Math.floor(at / 2) + 1),
  )
  for (const id of told.begun) assert.ok(replies.has(id), `${id} was begun`)
  for (const [id, reply] of replies) {
    const said = textOf(reply)
    if (told.ended.has(id)) assert.equal(reply.status, 'complete', id)
    if (reply.status === 'complete') assert.equal(said, `whole ${id}`)
    else {
      assert.equal(reply.status, 'interrupted', id)
      const all = '0 1 2 3 4 5 '
      assert.ok(all.startsWith(said) && said.length >= 2 * (told.deltas.get(id) ?? 0), `${id}: ${said}`)
    }
  }
  await store.search('nothing')
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  await store.close()
}

async function lane(context: TestContext, durability: string): Promise<Told> {
  const path = join(folderFor(context), 'chat.db')
  const told: Told = { added: new Set(), begun: new Set(), ended: new Set(), deltas: new Map() }
  let repeated = ''
  for (let life = 0; life < kills / lanes; life++)
    repeated = await live(path, durability, String(life), repeated, told)
  await verify(path, told)
  return told
}

for (const durability of ['full', 'normal'])
  test(`nothing acknowledged is lost to ${kills} kills, durability ${durability}`, async (t) => {
    const all = await Promise.all(Array.from({ length: lanes }, () => lane(t, durability)))
    const sum = (count: (told: Told) => number) => all.reduce((total, told) => total + count(told), 0)
    const added = sum((told) => told.added.size)
    const begun = sum((told) => told.begun.size)
    const deltas = sum((told) => [...told.deltas.values()].reduce((total, count) => total + count, 0))
    assert.ok(added > kills && deltas > kills / 4, `${added} ${deltas}`)
    await t.annotate(
      `${kills} kills: ${added} messages, ${begun} turns, ${deltas} deltas acknowledged, 0 lost, 0 twice`,
    )
  })

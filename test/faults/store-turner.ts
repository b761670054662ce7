/**
 * Makes turns in a store that other processes use too: `store-turner.ts PATH NAME TURNS`. Most turns are made in four
 * sessions of its own at once, and a few in a session that all processes share, where it waits for the others.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { text, turn, user } from '../support/store-kit.ts'
import { tell } from './fork-module.ts'

const [path, name, turns] = process.argv.slice(2) as [string, string, string]
const shared = 20
const store = sqliteStore({ path })
await store.open({ id: 'shared' })
const tookMs: number[] = []
const resolution = 5
const monitor = monitorEventLoopDelay({ resolution })
monitor.enable()
const own = async (sessionId: string, count: number) => {
  await store.open({ id: sessionId })
  for (let at = 0; at < count; at++) {
    const startedAt = performance.now()
    await turn(store, sessionId, `${sessionId}-${at}`)
    tookMs.push(performance.now() - startedAt)
  }
}
const inTurn = async () => {
  for (let at = 0; at < shared; at++) {
    const replyId = `a-${name}-shared-${at}`
    const request = { sessionId: 'shared', replyId, messages: [user(`q-${replyId}`)], writer: store.writer }
    while ((await store.beginTurn(request)).kind !== 'begun') await setTimeout(2)
    await store.endTurn(replyId, { status: 'complete', content: text(replyId) })
  }
}
const each = (Number(turns) - shared) / 4
let code = ''
await Promise.all([...[0, 1, 2, 3].map((at) => own(`${name}-${at}`, each)), inTurn()]).catch(
  (error) => (code = String(error)),
)
monitor.disable()
await store.close()
// What a busy machine makes late, in any process.
const lateMs = Math.max(0, monitor.percentile(99) / 1e6 - resolution)
tell({ code, tookMs, lateMs })
process.disconnect()

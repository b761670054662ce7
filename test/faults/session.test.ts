/** Sessions whose process is killed at any moment, and sessions with turns from several processes. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createLLM, createSession, sqliteStore } from 'convoke'
import type { StoredMessage } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'
import { forkModule } from './fork-module.ts'

type News = { began: string; atMs: number } | { heard: string; atMs: number } | { kept: string }

const kills = 25
/** The text that may be missing after a kill, in milliseconds of its stream, and the extra delay of a busy machine. */
const mayBeMissingMs = 250 + 250

for (const durability of ['full', 'normal']) {
  test(`durability ${durability}: nothing acknowledged is lost when the process is killed, and the session goes on`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'convoke-kill-'))
    const path = join(folder, 'chat.db')
    await using simulator = await startSimulator({
      strictMessages: true,
      // When a reply was killed before its first word, its prompt and the next one are merged into one message.
      reply: ({ prompt }) => {
        const [last = ''] = /(\d+ \d+|after \d+)$/.exec(prompt) ?? []
        return { text: `re ${last} `.repeat(30), chunkSize: 5, paceMs: 4 }
      },
    })
    let acknowledged = 0
    let interrupted = 0
    let mostMissingMs = 0
    for (let kill = 0; kill < kills; kill++) {
      const client = forkModule('session-client.ts', [simulator.url, path, durability])
      const news: News[] = []
      client.child.on('message', (one) => news.push(one as News))
      // On a busy machine few turns are acknowledged before the kill, and then there is little that could be lost.
      const awaited = kill % 3 === 0 ? 'kept' : 'began'
      while (!news.some((one) => awaited in one)) await pause(5)
      await pause(Math.random() * 900)
      const killedAtMs = Date.now()
      client.child.kill('SIGKILL')
      await client.exited.catch(() => undefined)

      await using session = createSession(
        createLLM('anthropic/m', { apiKey: 'sk-0123456789', baseURL: simulator.url, retry: { attempts: 1 } }),
        { store: path, id: 's' },
      )
      const history = await session.history()
      for (const one of news) {
        if (!('kept' in one)) continue
        acknowledged++
        const at = history.findIndex(({ role, content }) => role === 'user' && textOf(content) === one.kept)
        assert.ok(at >= 0, `${one.kept} is lost`)
        assert.equal(history[at + 1]?.status, 'complete')
        assert.equal(textOf(history[at + 1]?.content), `re ${one.kept} `.repeat(30))
      }
      const last = history.at(-1)
      if (last?.status === 'interrupted') {
        interrupted++
        const told = news.slice(news.findLastIndex((one) => 'began' in one))
        const kept = textOf(last.content)
        let length = 0
        for (const one of told) {
          if (!('heard' in one)) continue
          length += one.heard.length
          if (length > kept.length) mostMissingMs = Math.max(mostMissingMs, killedAtMs - one.atMs)
        }
        assert.ok(`re ${textOf(history.at(-2)?.content)} `.repeat(30).startsWith(kept))
        if (kill % 2 === 0) assert.equal((await session.resume()).finishReason, 'stop')
      }
      const reply = await session.agenerate(`after ${kill}`)
      assert.equal(reply.content, `re after ${kill} `.repeat(30))
    }
    await using session = createSession(createLLM('ollama/m'), { store: path, id: 's' })
    const ids = (await session.history()).map(({ id }) => id)
    assert.equal(new Set(ids).size, ids.length)
    await t.annotate(
      `${durability}: ${kills} kills, ${acknowledged} turns acknowledged, 0 lost; ${interrupted} interrupted, at most ${mostMissingMs} ms of text missing`,
    )
    assert.ok(interrupted > kills / 4, `${interrupted} interrupted`)
    assert.ok(acknowledged > kills / 4, `${acknowledged} acknowledged`)
    assert.ok(mostMissingMs <= mayBeMissingMs, `${mostMissingMs} ms of text are missing`)
    rmSync(folder, { recursive: true })
  })
}

test('50 turns of one session at once, from two processes, are whole and stand one after the other', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'convoke-turns-'))
  const path = join(folder, 'chat.db')
  await using simulator = await startSimulator({
    strictMessages: true,
    reply: ({ prompt }) => ({ text: `re ${prompt}`, paceMs: 2 }),
  })
  const startedAt = performance.now()
  const clients = [1, 2].map(() => forkModule('session-client.ts', [simulator.url, path, 'full', 's', '25']))
  for (const client of clients) assert.equal(await client.exited, 0, client.stderr())
  await using session = createSession(createLLM('ollama/m'), { store: path, id: 's' })
  const history = await session.history()
  await t.annotate(`50 turns of two processes in ${(performance.now() - startedAt).toFixed(0)} ms`)
  assert.equal(history.length, 100)
  for (let at = 0; at < 100; at += 2) {
    assert.equal(textOf(history[at + 1]?.content), `re ${textOf(history[at]?.content)}`)
    assert.equal(history[at]?.turn, at / 2 + 1)
  }
  rmSync(folder, { recursive: true })
})

for (const way of ['close', 'die']) {
  test(`SIGTERM with 1,000 writes in line, ${way === 'die' ? 'unheard' : 'answered by close'}: what was acknowledged is there`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'convoke-term-'))
    const path = join(folder, 'chat.db')
    const client = forkModule('shutdown-client.ts', [path, way])
    const kept: string[] = []
    let end: { acknowledged: number; refused: number } | undefined
    client.child.on('message', (news: { kept?: string; acknowledged?: number; refused?: number }) => {
      if (news.kept !== undefined) {
        kept.push(news.kept)
        if (way === 'die') client.child.kill('SIGTERM')
      } else if (news.acknowledged !== undefined) end = news as typeof end
      else if (way === 'close') client.child.kill('SIGTERM')
    })
    const startedAt = performance.now()
    await client.exited.catch(() => undefined)
    const tookMs = performance.now() - startedAt
    await using store = sqliteStore({ path })
    const ids = new Set((await store.readMessages('s')).map(({ id }) => id))
    assert.ok(kept.every((id) => ids.has(id)))
    assert.ok((await store.check()).isOk)
    if (way === 'close') assert.equal((end?.acknowledged ?? 0) + (end?.refused ?? 0), 1_000)
    assert.ok(tookMs < 5_000, `${tookMs} ms`)
    await t.annotate(
      `${way}: ${kept.length} of 1,000 acknowledged, ${ids.size} kept, ended after ${tookMs.toFixed(0)} ms`,
    )
    rmSync(folder, { recursive: true })
  })
}

function textOf(content: StoredMessage['content'] = []): string {
  return content.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

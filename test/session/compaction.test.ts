/** Summaries of histories that are longer than what fits a request. */
import assert from 'node:assert/strict'
import { createSession } from 'convoke'
import { test } from 'vitest'
import { z } from 'zod'
import { estimateTokens } from '../../src/tokens/count-tokens.ts'
import { codeOf, connect, open, path, simulator } from '../support/session-kit.ts'

const isSummary = ({ system }: { system?: string }) =>
  system?.includes('the memory of a conversation') ?? false
const summaries = () => simulator.requests.filter(isSummary)
const tokensOf = ({ system = '', prompt }: { system?: string; prompt: string }) =>
  estimateTokens(system) + estimateTokens(prompt)

/** So many turns that were said elsewhere, of some 200 tokens each. */
const turns = (count: number) =>
  Array.from({ length: count }, (_, at) => [
    { role: 'user', content: `Question ${at}: ${'word '.repeat(90)}` } as const,
    { role: 'assistant', content: `Answer ${at}: ${'word '.repeat(90)}` } as const,
  ]).flat()

test('a compaction asks for plain text, whatever the LLM is given by default', async () => {
  const llm = connect('openai', {
    tools: [{ name: 'clock', description: 'The time' }],
    toolChoice: 'required',
    schema: z.object({ name: z.string() }),
    stop: ['.'],
    messages: [{ role: 'user', content: 'an example' }],
    maxTokens: 500,
  })
  await using session = createSession(llm, { store: path() })
  await session.add(turns(2))
  simulator.setReply('They counted. It was fun.')
  await session.compact({ keepRecent: 0 })
  const [request] = summaries()
  assert.ok(request)
  const body = request.body as Record<string, unknown>
  for (const name of ['tools', 'tool_choice', 'response_format', 'stop'])
    assert.equal(body[name], undefined, name)
  assert.equal(request.messages.length, 1)
  assert.equal(body['max_tokens'] ?? body['max_completion_tokens'], 500)
  assert.match(JSON.stringify(await session.history()), /They counted\. It was fun\./)
})

test('a history far above the window is summarised in steps that fit, each with the summary so far', async () => {
  await using session = open({ context: { maxTokens: 1_500, onOverflow: 'compact' } })
  await session.add(turns(30))
  let step = 0
  simulator.setReply((request) => (isSummary(request) ? `Summary ${++step}.` : 'ok'))
  await session.agenerate('Go on')
  const asked = summaries()
  assert.ok(asked.length >= 5 && asked.length < 15, `${asked.length} steps`)
  for (const request of asked) assert.ok(tokensOf(request) <= 1_500, `${tokensOf(request)} tokens`)
  asked.slice(1).forEach(({ prompt }, at) => assert.ok(prompt.includes(`Summary ${at + 1}.`)))
  const seen = asked.map(({ prompt }) => prompt).join('')
  for (let at = 0; at < 20; at++)
    assert.ok(seen.includes(`Question ${at}:`) && seen.includes(`Answer ${at}:`))
  assert.match(simulator.requests.at(-1)?.system ?? '', new RegExp(`Summary ${asked.length}\\.`))
  const [stored] = await session.history()
  assert.equal(stored?.role, 'summary')
  assert.equal(stored.timing?.attempts, asked.length)
})

test('one message that is longer than the window is summarised piece by piece, and no character is cut', async () => {
  await using session = open({ context: { maxTokens: 1_000 } })
  const long = Array.from({ length: 500 }, (_, at) => `${at}${'\u{1F642}'.repeat(9 + (at % 5))}`).join('')
  await session.add([
    { role: 'user', content: long },
    { role: 'assistant', content: 'Indeed.' },
  ])
  simulator.setReply('Smiles.')
  await session.compact({ keepRecent: 0 })
  const asked = summaries()
  assert.ok(asked.length > 3)
  for (const request of asked) assert.ok(tokensOf(request) <= 1_000, `${tokensOf(request)} tokens`)
  const pieces = asked.map(({ prompt }) => /<transcript>\n([^]*)\n<\/transcript>/.exec(prompt)?.[1] ?? '')
  assert.ok(pieces.every((piece) => piece.isWellFormed()))
  assert.equal(pieces.join(''), `user: ${long}\n\nassistant: Indeed.`)
})

test('a summary that fails on the way changes nothing, and the next one does it all', async () => {
  await using session = open({ context: { maxTokens: 1_500 } })
  await session.add(turns(20))
  const before = await session.history()
  simulator.setReply((request) => {
    if (isSummary(request) && summaries().length === 3) return { text: 'cut', finishReason: 'length' }
    return 'A summary.'
  })
  assert.equal(await codeOf(session.compact({ keepRecent: 0 })), 'invalid_output')
  assert.deepEqual(await session.history(), before)
  simulator.setReply('word '.repeat(1_000))
  assert.equal(await codeOf(session.compact({ keepRecent: 0 })), 'invalid_output')
  simulator.failNext({ status: 500 })
  assert.equal(await codeOf(session.compact({ keepRecent: 0 })), 'server_error')
  assert.deepEqual(await session.history(), before)
  simulator.setReply('A summary.')
  await session.compact({ keepRecent: 0 })
  assert.deepEqual(
    (await session.history()).map(({ role }) => role),
    ['summary'],
  )
})

test('a window that nobody knows is found by halves', async () => {
  const refusal = JSON.stringify({ error: { message: 'too long', code: 'context_length_exceeded' } })
  await using session = open()
  await session.add(turns(20))
  simulator.setReply('A summary.')
  simulator.failNext({ status: 400, body: refusal }, 2)
  await session.compact({ keepRecent: 0 })
  const sizes = summaries().map(tokensOf)
  assert.ok(sizes.length >= 6, sizes.join())
  assert.ok(
    sizes.slice(2).every((size) => size < (sizes[0] ?? 0) / 3),
    sizes.join(),
  )
  assert.deepEqual(
    (await session.history()).map(({ role }) => role),
    ['summary'],
  )
})

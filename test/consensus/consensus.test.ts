/** The verdict: how the votes of real calls become one, and what it claims. */
import assert from 'node:assert/strict'
import { consensus, isConvokeError, majority, unanimous, weighted } from 'convoke'
import type { ConsensusEvent } from 'convoke'
import { test } from 'vitest'
import * as z from 'zod'
import { normalizeText } from '../../src/consensus/answer.ts'
import { answerEquality } from '../../src/consensus/answer-equality.ts'
import { hang, panel, untilQuiet } from '../support/panel-kit.ts'
import type { Script } from '../support/panel-kit.ts'

const question = 'Is 97 prime?'
const yesNo = { choices: ['yes', 'no'] } as const

/** Members with one answer each, by their names. */
async function ask(answers: Record<string, Script>, options: object = {}) {
  await using members = await panel(answers)
  const verdict = await consensus(members.llms, question, options)
  return { verdict, requests: members.simulator.requests }
}

test('more than half agree: the answer, who voted for it, who did not, and what it took', async () => {
  const { verdict } = await ask({ a: 'Yes.', b: 'No', c: '"yes"', d: '**YES**', e: 'no' })
  assert.equal(verdict.status, 'agreed')
  assert.equal(verdict.answer, 'Yes.')
  assert.equal(verdict.agreement, 0.6)
  const yes = verdict.votes.filter(({ answer }) => /yes/i.test(answer as string))
  assert.deepEqual(
    yes.map(({ member }) => member),
    ['a', 'c', 'd'],
  )
  assert.deepEqual(
    verdict.dissent.map(({ member }) => member).filter((name) => !'be'.includes(name)),
    [],
  )
  assert.equal(verdict.members.length, 5)
  const total = verdict.members.reduce((sum, { usage }) => sum + usage.totalTokens, 0)
  assert.ok(total > 0)
  assert.equal(verdict.usage.totalTokens, total)
  assert.deepEqual(verdict.failures, [])
})

test('no majority is split, with the most frequent answer, and of equals the one that stands first', async () => {
  const { verdict } = await ask({ a: 'red', b: 'blue', c: 'green', d: 'blue' })
  assert.equal(verdict.status, 'split')
  assert.equal(verdict.answer, 'blue')
  assert.equal(verdict.agreement, 0.5)
  const tie = await ask({ a: { text: 'red', latencyMs: 40 }, b: 'blue' })
  assert.equal(tie.verdict.answer, 'red')
  assert.equal(tie.verdict.status, 'split')
})

test('it stops when nothing outstanding can matter, cancels the rest, and says what that saved', async () => {
  await using members = await panel({ a: 'yes', b: hang, c: 'yes', d: hang, e: 'yes' })
  const verdict = await consensus(members.llms, question, { ...yesNo, timeoutMs: 30_000 })
  await untilQuiet(members.simulator)
  assert.equal(members.simulator.openStreams, 0)
  assert.equal(verdict.status, 'agreed')
  // Two were not heard: they count as if against.
  assert.equal(verdict.agreement, 0.6)
  assert.deepEqual(verdict.stopped, ['b', 'd'])
  assert.ok(verdict.savedAtMostMs && verdict.savedAtMostMs > 20_000 && verdict.savedAtMostMs < 30_000)
  const stopped = verdict.members.filter(({ outcome }) => outcome === 'stopped')
  for (const { usage } of stopped) assert.equal(usage.outputTokens, 0)
  assert.equal(verdict.failures.length, 0)
})

test('below the quorum it is degraded, whatever agrees, and the answer is still there', async () => {
  const answers: Record<string, Script> = {
    a: 'yes',
    b: 'yes',
    c: { fault: { status: 500 } },
    d: 'perhaps',
    e: 'well',
  }
  const { verdict } = await ask(answers, yesNo)
  assert.equal(verdict.status, 'degraded')
  assert.equal(verdict.answer, 'yes')
  assert.equal(verdict.quorum, 3)
  assert.match(verdict.reason, /Only 2 members answered, and 3 are needed/)
  assert.deepEqual(verdict.failures.map(({ member, error }) => [member, error.code]).sort(), [
    ['c', 'server_error'],
    ['d', 'invalid_output'],
    ['e', 'invalid_output'],
  ])
  const { verdict: enough } = await ask(answers, { ...yesNo, quorum: 2 })
  assert.equal(enough.status, 'agreed')
})

test('when all are late or fail it is failed, in time, with every error', async () => {
  const { verdict } = await ask(
    { a: hang, b: { fault: { status: 401 } }, c: hang },
    { timeoutMs: 500, strategy: majority() },
  )
  assert.equal(verdict.status, 'failed')
  assert.equal(verdict.answer, undefined)
  assert.equal(verdict.agreement, 0)
  assert.deepEqual(verdict.failures.map(({ member, error }) => [member, error.code]).sort(), [
    ['a', 'timeout'],
    ['b', 'authentication'],
    ['c', 'timeout'],
  ])
  assert.ok(verdict.timeMs >= 495)
})

test('unanimous needs everybody, and a dissent ends it at once, without an answer', async () => {
  const all = await ask({ a: 'yes', b: 'Yes', c: 'yes.' }, { strategy: unanimous() })
  assert.equal(all.verdict.status, 'agreed')
  assert.equal(all.verdict.agreement, 1)
  const one = await ask({ a: 'yes', b: 'no', c: hang }, { strategy: unanimous(), timeoutMs: 20_000 })
  assert.equal(one.verdict.status, 'split')
  assert.equal(one.verdict.answer, undefined)
  assert.deepEqual(one.verdict.stopped, ['c'])
  const fewer = await ask({ a: 'yes', b: 'yes', c: { fault: { status: 500 } } }, { strategy: unanimous() })
  assert.equal(fewer.verdict.status, 'degraded')
  assert.equal(fewer.verdict.answer, 'yes')
})

test('weights count, by key or in order, and stop it as soon as they decide', async () => {
  const answers: Record<string, Script> = { a: 'yes', b: 'yes', c: 'no', d: hang }
  const options = { strategy: weighted({ weights: { c: 5 } }), timeoutMs: 20_000, quorum: 1 }
  const { verdict } = await ask(answers, options)
  assert.equal(verdict.status, 'agreed')
  assert.equal(verdict.answer, 'no')
  assert.equal(verdict.agreement, 5 / 8)
  assert.ok(verdict.stopped.includes('d'))
  const inOrder = await ask({ a: 'yes', b: 'no' }, { strategy: weighted({ weights: [1, 1.5] }) })
  assert.equal(inOrder.verdict.answer, 'no')
})

test('a choice is read from the beginning or the last line, never from mid-sentence', async () => {
  const { verdict } = await ask(
    {
      a: 'Yes, since 97 has no divisors.',
      b: '2 no, 3 does not divide it either.\n\nAnswer: **yes**',
      c: 'It is not "no", I should think',
      d: 'No doubt about it: I have no idea.\nyes',
    },
    { ...yesNo, quorum: 2, strategy: unanimous() },
  )
  assert.equal(verdict.answer, 'yes')
  assert.deepEqual(
    verdict.votes.map(({ member, answer }) => [member, answer]),
    [
      ['a', 'yes'],
      ['b', 'yes'],
    ],
  )
  assert.deepEqual(verdict.failures.map(({ member }) => member).sort(), ['c', 'd'])
})

test('members are told the choices, behind the prompt', async () => {
  const { requests } = await ask({ a: 'yes', b: 'yes' }, yesNo)
  assert.equal(
    requests[0]?.prompt,
    `${question}\n\nAnswer with exactly one of these, and nothing else: "yes", "no".`,
  )
})

test('the line about the choices stands in the last turn of the user, whatever form the prompt has', async () => {
  await using members = await panel({ a: 'yes', b: 'yes' })
  const asked = { type: 'text', text: question } as const
  const prompts = [
    { role: 'user', content: question } as const,
    [{ role: 'system', content: 'Be brief.' } as const, { role: 'user', content: [asked] } as const],
    [{ role: 'user', content: question } as const, { role: 'assistant', content: 'Let me see.' } as const],
  ]
  for (const prompt of prompts) {
    const verdict = await consensus(members.llms, prompt, yesNo)
    assert.equal(verdict.answer, 'yes')
    const { messages } = members.simulator.requests.at(-1) ?? { messages: [] }
    assert.equal(messages.at(-1)?.role, 'user')
    assert.match(messages.at(-1)?.text ?? '', /Answer with exactly one of these.*"no"\.$/)
    assert.equal(messages.length, messages.some(({ role }) => role === 'assistant') ? 3 : 1)
  }
})

test('numbers within the tolerance are one answer, whatever stands around them', async () => {
  const answers = { a: '1,234.5', b: 'about 1234', c: '1235.2 km', d: '99', e: 'two' }
  const { verdict } = await ask(answers, { tolerance: 1 })
  assert.equal(verdict.answer, 1234.5)
  assert.equal(verdict.status, 'agreed')
  assert.equal(verdict.agreement, 0.75)
  assert.deepEqual(
    verdict.dissent.map(({ member }) => member),
    ['d'],
  )
  const relative = await ask({ a: '100', b: '104', c: '120' }, { tolerance: { relative: 0.05 } })
  assert.equal(relative.verdict.answer, 100)
  const exact = await ask({ a: '5', b: '5.0', c: '6' }, { tolerance: 0 })
  assert.equal(exact.verdict.answer, 5)
})

test('objects are the same whatever the order of their fields, and without those that are undefined', () => {
  const one = { a: 1, b: { c: 'X.', d: [1, 2] } }
  const other = { e: undefined, b: { d: [1, 2], c: 'x' }, a: 1 }
  for (const tolerance of [undefined, 0, 0.5]) {
    const { isSame } = answerEquality(normalizeText, tolerance)
    assert.ok(isSame(one, other))
    assert.ok(!isSame(one, { ...other, b: { d: [2, 1], c: 'x' } }))
    assert.ok(!isSame(one, { ...other, e: 0 }))
    assert.equal(isSame(one, { ...other, a: 1.25 }), tolerance === 0.5)
  }
})

const city = z.object({ name: z.string(), country: z.string(), people: z.number() })
const json = (name: string, country: string, people: number) => JSON.stringify({ name, country, people })

test('objects are one answer whatever the order of their fields, and are voted on as a whole', async () => {
  const { verdict } = await ask(
    {
      a: json('Paris', 'France', 2),
      b: '{"people":2,"country":"france","name":"Paris"}',
      c: json('Lyon', 'France', 2),
    },
    { schema: city },
  )
  assert.equal(verdict.status, 'agreed')
  assert.deepEqual(verdict.answer, { name: 'Paris', country: 'France', people: 2 })
})

test('or field by field, where the answer may be one that nobody gave', async () => {
  const { verdict } = await ask(
    { a: json('Paris', 'France', 1), b: json('Paris', 'Gaul', 2), c: json('Lyon', 'France', 2) },
    { schema: city, vote: 'fields' },
  )
  assert.equal(verdict.status, 'agreed')
  assert.deepEqual(verdict.answer, { name: 'Paris', country: 'France', people: 2 })
  assert.equal(verdict.fields?.['people']?.answer, 2)
  assert.ok(Math.abs(verdict.agreement - 2 / 3) < 1e-9)
  assert.equal(verdict.dissent.length, 3)
})

test('for await tells the progress from the first event on, and the verdict can be awaited besides', async () => {
  await using members = await panel({ a: 'yes', b: { fault: { status: 429 } }, c: 'yes', d: 'no' })
  const run = consensus(members.llms, question, yesNo)
  assert.equal(run.constructor.name, 'Consensus')
  const events: ConsensusEvent[] = []
  for await (const event of run) events.push(event)
  const verdict = await run
  const types = events.map(({ type }) => type)
  assert.equal(types[0], 'round')
  assert.equal(types.at(-1), 'decided')
  assert.equal(types.filter((type) => type === 'failure').length, 1)
  assert.ok(types.indexOf('answer') < types.indexOf('vote'))
  const last = events.findLast((event) => event.type === 'vote')
  assert.deepEqual(last?.standings[0], { answer: 'yes', weight: 2, members: ['a', 'c'] })
  const again: ConsensusEvent[] = []
  for await (const event of run) again.push(event)
  assert.deepEqual(again, events)
  const decided = events.at(-1)
  assert.ok(decided?.type === 'decided' && decided.verdict === verdict)
})

test('leaving the loop, and an abort, cancel all and reject with cancelled', async () => {
  await using members = await panel({ a: hang, b: hang, c: hang })
  const run = consensus(members.llms, question)
  for await (const { type } of run) if (type === 'round') break
  await assert.rejects(Promise.resolve(run), { code: 'cancelled' })
  const signal = AbortSignal.timeout(30)
  await assert.rejects(consensus(members.llms, question, { signal }).verdict, { code: 'cancelled' })
  await untilQuiet(members.simulator)
})

test('a consensus that was cancelled says what it cost', async () => {
  await using members = await panel({ a: 'Yes.', b: hang, c: hang })
  const run = consensus(members.llms, question)
  for await (const { type } of run) if (type === 'vote') break
  const error: unknown = await run.then(undefined, (thrown: unknown) => thrown)
  assert.ok(isConvokeError(error))
  const { usage, otherAttempts = [], finishReason, content } = error.partial ?? {}
  assert.deepEqual([error.code, error.attempts, finishReason, content], ['cancelled', 3, 'cancelled', ''])
  assert.deepEqual(
    otherAttempts.map(({ model, code, attempts }) => [model, code, attempts]),
    Object.values(members.llms).map(({ model }) => [model, 'cancelled', 1]),
  )
  assert.ok(otherAttempts.every((one) => one.usage.inputTokens > 0))
  assert.equal(
    usage?.totalTokens,
    otherAttempts.reduce((sum, one) => sum + one.usage.totalTokens, 0),
  )
})

test('bad input is thrown at once, before anything is sent', async () => {
  await using members = await panel({ a: 'x', b: 'y' })
  const bad: [object, RegExp][] = [
    [{ quorum: 3 }, /quorum is 3; it takes a whole number from 1 to 2/],
    [{ choices: ['one'] }, /list of two or more/],
    [{ choices: ['Yes', 'yes.'] }, /"yes\." twice/],
    [{ choices: ['a', 'b'], tolerance: 1 }, /choices, tolerance and schema ask for different answers/],
    [{ tolerance: -1 }, /tolerance is -1; it takes a number from 0/],
    [{ rounds: 0 }, /rounds is 0/],
    [{ confidence: 2 }, /confidence is 2/],
    [{ vote: 'fields' }, /there is no schema/],
    [{ strategy: 'majority' }, /strategy is "majority"; it takes majority\(\)/],
    [{ strategy: weighted({ weights: [0] }) }, /weights\[0\] is 0; it takes a number above 0/],
    [{ strategy: weighted({ weights: { z: 1 } }) }, /Unknown member "z" in weights; members are a, b\./],
    [{ memberTimeoutMs: 'x' }, /memberTimeoutMs is "x"/],
    [{ qorum: 1 }, /no option qorum\. Did you mean quorum\?/],
  ]
  for (const [options, message] of bad) {
    assert.throws(
      () => consensus(members.llms, question, options),
      (error) => isConvokeError(error) && error.code === 'invalid_request' && message.test(error.message),
      JSON.stringify(options),
    )
  }
  assert.equal(members.simulator.requests.length, 0)
})

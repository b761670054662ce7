/** Stopping early never changes the verdict, and happens as soon as it can: every future of many counts is tried. */
import assert from 'node:assert/strict'
import { consensus, createLLM, majority, unanimous, weighted } from 'convoke'
import { registerProvider } from 'convoke/provider'
import type { Ballot, Strategy, Vote } from 'convoke/consensus'
import type { ProviderChunk } from 'convoke/provider'
import { test } from 'vitest'
import { normalizeText } from '../../src/consensus/answer.ts'
import { shuffler } from '../../src/consensus/quoted-answers.ts'
import { questionsOn } from '../../src/consensus/questions.ts'
import { answerEquality } from '../../src/consensus/answer-equality.ts'
import { statusOf } from '../../src/consensus/verdict.ts'

/** What a member does: it gives an answer, or fails. */
type Outcome = string | undefined
interface Election {
  strategy: Strategy
  weights: number[]
  quorum: number
  outcomes: Outcome[]
  /** Members in the order in which they are heard. */
  order: number[]
}

function ballotOf({ weights, quorum, outcomes, order }: Election, heard: number): Ballot {
  const seat = (index: number) => ({
    key: `m${index}`,
    index,
    provider: 'p',
    model: undefined,
    weight: weights[index] as number,
  })
  const votes = order
    .slice(0, heard)
    .filter((index) => outcomes[index] !== undefined)
    .sort((a, b) => a - b)
    .map(
      (index) =>
        ({ ...seat(index), member: `m${index}`, answer: outcomes[index], round: 1 }) as unknown as Vote,
    )
  return {
    votes,
    outstanding: order.slice(heard).map(seat),
    quorum,
    questions: questionsOn(votes, false),
    ...answerEquality(normalizeText, undefined),
  }
}

/** What a verdict claims. */
function claim(strategy: Strategy, ballot: Ballot): string {
  if (ballot.votes.length === 0) return 'failed'
  const ruling = strategy.decide(ballot, {} as never)
  assert.ok(!(ruling instanceof Promise))
  return `${statusOf(ballot, ruling)}: ${String(ruling.answer)}`
}

/** All that those who are not heard yet may do: an answer that is there, one of two new ones, or none. */
function* futures(election: Election, heard: number): Generator<Election> {
  const open = election.order.slice(heard)
  const known = election.order.slice(0, heard).map((index) => election.outcomes[index])
  const possible = [...new Set([...known, 'new', 'newer', undefined])]
  for (let number = 0; number < possible.length ** open.length; number++) {
    const outcomes = [...election.outcomes]
    let rest = number
    for (const index of open) {
      outcomes[index] = possible[rest % possible.length]
      rest = Math.floor(rest / possible.length)
    }
    yield { ...election, outcomes }
  }
}

const kinds: ((weights: number[]) => Strategy)[] = [
  () => majority(),
  () => unanimous(),
  (weights) => weighted({ weights }),
]

/** Elections of all sorts, the same ones at each run. */
function* elections(count: number, largest: number): Generator<Election> {
  const shuffle = shuffler(97)
  const pick = <Value>(values: readonly Value[]) => shuffle(values)[0] as Value
  for (let at = 0; at < count; at++) {
    const size = 1 + (at % largest)
    const kind = kinds[at % kinds.length] as (weights: number[]) => Strategy
    const isWeighted = kind === kinds[2]
    const weights = Array.from({ length: size }, () => (isWeighted ? pick([0.1, 0.2, 0.3, 1, 2, 3]) : 1))
    const quorum = pick(Array.from({ length: size }, (_, count) => count + 1))
    const outcomes = weights.map(() => pick<Outcome>(['x', 'x', 'x', 'y', 'y', 'z', undefined]))
    const order = shuffle(weights.map((_, index) => index))
    yield { strategy: kind(weights), weights, quorum, outcomes, order }
  }
}

test('a result that is certain is the one of every possible future, whatever the order of votes', () => {
  let early = 0
  for (const election of elections(30_000, 9)) {
    const { strategy, order } = election
    const end = claim(strategy, ballotOf(election, order.length))
    for (let heard = 1; heard < order.length; heard++) {
      const ballot = ballotOf(election, heard)
      if (ballot.votes.length === 0 || !strategy.settled?.(ballot)) continue
      early++
      assert.equal(claim(strategy, ballot), end, JSON.stringify({ ...election, heard }))
    }
  }
  assert.ok(early > 10_000, `only ${early} of the counts were certain early`)
})

test('it is certain exactly when no future changes it: not earlier, and not later', () => {
  let certain = 0
  for (const election of elections(3_000, 5)) {
    const { strategy, order } = election
    for (let heard = 1; heard < order.length; heard++) {
      const ballot = ballotOf(election, heard)
      if (ballot.votes.length === 0) continue
      const claims = new Set<string>()
      for (const future of futures(election, heard))
        claims.add(claim(strategy, ballotOf(future, order.length)))
      const isCertain = strategy.settled?.(ballot) !== undefined
      certain += Number(isCertain)
      assert.equal(isCertain, claims.size === 1, `${strategy.name} ${JSON.stringify({ ...election, heard })}`)
    }
  }
  assert.ok(certain > 500)
})

/** A vendor of the tests' own: the model says what is answered, and after how many turns of the event loop. */
registerProvider('voter', () => ({
  name: 'voter',
  async *stream({ model }, signal): AsyncGenerator<ProviderChunk, void, void> {
    const [text = '', turns = '0'] = model.split(':')
    for (let at = 0; at < Number(turns); at++) await new Promise((resolve) => setImmediate(resolve))
    signal.throwIfAborted()
    yield { type: 'start', content: '', id: 'v', model }
    if (text !== 'fail') yield { type: 'text', content: text }
    yield { type: 'finish', content: '', finishReason: 'stop' }
  },
}))

test('a whole run that stops early has the verdict of one that hears everybody', async () => {
  let stopped = 0
  for (const { strategy, quorum, outcomes, order } of elections(150, 7)) {
    const llms = outcomes.map((text, index) =>
      createLLM('voter', { model: `${text ?? 'fail'}:${order.indexOf(index) * 3}` }),
    )
    const { settled: _settled, ...patient } = strategy
    const [early, late] = await Promise.all([
      consensus(llms, 'Vote', { strategy, quorum }),
      consensus(llms, 'Vote', { strategy: patient, quorum }),
    ])
    const shown = JSON.stringify({ strategy: strategy.name, quorum, outcomes, order })
    assert.equal(`${early.status}: ${early.answer}`, `${late.status}: ${late.answer}`, shown)
    assert.ok(early.agreement <= late.agreement + 1e-9 || late.status === 'failed', shown)
    stopped += early.stopped.length
    assert.equal(late.stopped.length, 0)
  }
  assert.ok(stopped > 30, `${stopped} were stopped`)
})

/**
 * The provider contract, executable: what every provider must do, whichever vendor stands behind it. Public as
 * `convoke/conformance`, for people who write their own: bring a subject, and run each case with any test runner.
 *
 *     for (const { name, run } of providerContract(subject)) test(name, run)
 *
 * A subject opens an LLM over a server that does what a scenario says. `simulatedSubject` makes one for a provider
 * whose wire protocol the simulator speaks.
 */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { inspect } from 'node:util'
import { createLLM, isConvokeError } from 'convoke'
import type { ConvokeError, ErrorCode, LLM, LLMOptions, StreamChunk } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Fault, ScriptedReply } from 'convoke/simulator'

/** What the vendor does: its reply, and what goes wrong with the first requests, one fault each. */
export interface Scenario {
  reply: ScriptedReply
  faults?: Fault[]
  /** Milliseconds between the events of a stream. */
  paceMs?: number
}

/** An LLM over a vendor that plays a scenario. */
export interface Stage {
  llm: LLM
  /** Requests that the vendor has seen, with their bodies. */
  requests(): { body: unknown; isClosedByClient: boolean }[]
  close(): Promise<void>
}

/** What the contract is held against. */
export interface Subject {
  name: string
  open(scenario: Scenario, options?: LLMOptions): Promise<Stage>
  /** Capabilities that the vendor has; cases of the others are left out. @default all */
  has?: { reasoning?: boolean; tools?: boolean; partialArguments?: boolean; models?: boolean }
}

export interface ContractCase {
  name: string
  run: () => Promise<void>
}

/** The key that subjects give to their LLM: no error and no log may show it. */
export const secretKey = 'sk-conformance-0123456789abcdef'

/** A subject over the simulator. `wire` is the vendor whose protocol the provider speaks. */
export function simulatedSubject(
  name: string,
  options: { wire?: string; create?: (options: LLMOptions) => LLM; has?: Subject['has'] } = {},
): Subject {
  const { wire = name, create = (given) => createLLM(name, given), has } = options
  return {
    name,
    ...(has ? { has } : {}),
    async open({ reply, faults = [], paceMs = 0 }, given = {}) {
      const simulator = await startSimulator({ reply, paceMs })
      for (const fault of faults) simulator.failNext(fault)
      const llm = create({
        model: 'test-model',
        apiKey: secretKey,
        baseURL: simulator.baseURL(wire),
        ...given,
      })
      return {
        llm,
        requests: () =>
          simulator.requests.map(({ body, outcome }) => ({
            body,
            isClosedByClient: outcome === 'client-closed',
          })),
        async close() {
          await llm.close()
          await simulator.close()
        },
      }
    },
  }
}

/** Text that has broken one SDK or another: terminators, fields, line ends and characters in pieces. */
const awkward =
  'a [DONE] data: {"x":1}\n\ndata: [DONE]\n: note\r\nevent: end\u2028\u2029\u0000\u0085\ufeff 😀👩‍👩‍👧 é 漢字 \\n "q" '
const plain = 'The quick brown fox jumps over the lazy dog, twice a day.'
const quick = { retry: { attempts: 1 } }

/** Every case of the contract for one subject. */
export function providerContract(subject: Subject): ContractCase[] {
  const has = { reasoning: true, tools: true, partialArguments: true, models: true, ...subject.has }
  const cases: [name: string, run: () => Promise<void>, isWanted?: boolean][] = [
    ...replies(subject),
    ...endings(subject),
    ...statuses(subject),
    ...cancels(subject),
    ['reasoning comes apart from the text', () => reasoning(subject), has.reasoning],
    ['tool calls come whole, one and several, streamed and plain', () => tools(subject), has.tools],
    [
      'arguments that are cut off are never a normal-looking call',
      () => cutArguments(subject),
      has.partialArguments,
    ],
    ['the vendor lists its models', () => models(subject), has.models],
  ]
  return cases
    .filter(([, , isWanted]) => isWanted !== false)
    .map(([name, run]) => ({ name: `${subject.name}: ${name}`, run }))
}

type Cases = [name: string, run: () => Promise<void>][]

function replies(subject: Subject): Cases {
  return [
    [
      'a stream is one start, its text, and one finish; a plain call gives the same reply',
      () =>
        play(
          subject,
          { reply: { text: plain, usage: { inputTokens: 12, outputTokens: 34 } } },
          async ({ llm }) => {
            const stream = llm.stream('Hi')
            const chunks = await all(stream)
            const types = chunks.map(({ type }) => type)
            assert.equal(types[0], 'start')
            assert.equal(types.at(-1), 'finish')
            assert.deepEqual(new Set(types.slice(1, -1)), new Set(['text']))
            const streamed = await stream.response
            const whole = await llm.agenerate('Hi')
            assert.equal(chunks.map(({ content }) => content).join(''), plain)
            for (const reply of [streamed, whole]) {
              assert.equal(reply.content, plain)
              assert.equal(reply.finishReason, 'stop')
              assert.ok(reply.rawFinishReason)
              const { inputTokens, outputTokens, totalTokens, source } = reply.usage
              assert.deepEqual([inputTokens, outputTokens, totalTokens, source], [12, 34, 46, 'provider'])
              assert.equal(reply.timing.attempts, 1)
              assert.deepEqual(reply.message.content, [{ type: 'text', text: plain }])
            }
          },
        ),
    ],
    [
      'text comes through byte for byte, however small its pieces',
      () =>
        play(subject, { reply: { text: awkward, chunkSize: 1 } }, async ({ llm }) => {
          assert.equal((await llm.stream('Hi').response).content, awkward)
          assert.equal((await llm.agenerate('Hi')).content, awkward)
        }),
    ],
    [
      'a reply that hits its limit says so',
      () =>
        play(subject, { reply: { text: plain, finishReason: 'length' } }, async ({ llm }) => {
          assert.equal((await llm.stream('Hi').response).finishReason, 'length')
          assert.equal((await llm.agenerate('Hi')).finishReason, 'length')
        }),
    ],
    [
      'what `vendor` holds reaches the wire untouched',
      () =>
        play(subject, { reply: { text: plain } }, async ({ llm, requests }) => {
          await llm.agenerate('Hi', { vendor: { convoke_marker: { a: [1] } } })
          await llm.stream('Hi', { vendor: { convoke_marker: { a: [1] } } }).response
          for (const { body } of requests()) {
            assert.deepEqual((body as Record<string, unknown>)['convoke_marker'], { a: [1] })
          }
        }),
    ],
    [
      'fifty streams at once all arrive whole',
      () =>
        play(
          subject,
          { reply: { text: plain }, paceMs: 1 },
          async ({ llm }) => {
            const replies = await Promise.all(Array.from({ length: 50 }, () => llm.stream('Hi').response))
            assert.deepEqual(new Set(replies.map(({ content }) => content)), new Set([plain]))
            assert.deepEqual(llm.activity, { running: 0, queued: 0 })
          },
          { maxConcurrent: 50 },
        ),
    ],
  ]
}

/** Where a fault strikes: the share of the reply's events that come before it. */
const places = { start: 0, middle: 0.5, end: 1 }

function endings(subject: Subject): Cases {
  const broken: [name: string, fault: keyof Fault, ...codes: ErrorCode[]][] = [
    ['a clean end without the terminal event', 'endAfter', 'stream_truncated'],
    ['a reset connection', 'cutAfter', 'stream_truncated'],
    ['a junk event', 'junkAfter', 'malformed_response'],
    ['a stream that stands still', 'stallAfter', 'timeout'],
    // Cohere and Ollama give their errors inside a stream no type.
    ["the vendor's own error event", 'errorAfter', 'overloaded', 'server_error'],
  ]
  const streamed = broken.flatMap(([name, fault, ...codes]) =>
    Object.entries(places).map(([place, share]): Cases[number] => [
      `${name} at the ${place} of a stream is ${codes.join(' or ')}, with what had arrived`,
      () => breakStream(subject, { [fault]: share }, codes, share),
    ]),
  )
  return [
    ...streamed,
    [
      'comments between events are nothing',
      () =>
        play(subject, { reply: { text: plain }, faults: [{ comments: true }] }, async ({ llm }) => {
          assert.equal((await llm.stream('Hi', quick).response).content, plain)
        }),
    ],
    [
      'a plain reply that breaks off or is no JSON is an error',
      () =>
        play(
          subject,
          { reply: { text: plain }, faults: [{ cutAfter: 0.5 }, { endAfter: 0.5 }, { junkAfter: 0.5 }] },
          async ({ llm }) => {
            assert.equal((await failure(llm.agenerate('Hi', quick))).code, 'stream_truncated')
            assert.equal((await failure(llm.agenerate('Hi', quick))).code, 'stream_truncated')
            assert.equal((await failure(llm.agenerate('Hi', quick))).code, 'malformed_response')
          },
        ),
    ],
    [
      'a broken stream is tried again while nothing was delivered, and restarted only when asked',
      () =>
        play(
          subject,
          { reply: { text: plain }, faults: [{ endAfter: 0 }, { endAfter: 0.6 }, { endAfter: 0.6 }] },
          async ({ llm }) => {
            const retry = { minDelayMs: 1 }
            assert.equal((await failure(all(llm.stream('Hi', { retry })))).code, 'stream_truncated')
            const chunks = await all(llm.stream('Hi', { retry: { ...retry, replay: 'restart' } }))
            const from = chunks.findIndex(({ type }) => type === 'reset')
            assert.ok(from > 0)
            assert.equal(
              chunks
                .slice(from)
                .map(({ content }) => content)
                .join(''),
              plain,
            )
          },
        ),
    ],
  ]
}

async function breakStream(subject: Subject, fault: Fault, codes: ErrorCode[], share: number): Promise<void> {
  await play(subject, { reply: { text: plain }, faults: [fault] }, async ({ llm, requests }) => {
    const timeouts = { firstChunkMs: 150, idleMs: 150 }
    const chunks: StreamChunk[] = []
    const stream = llm.stream('Hi', { ...quick, timeouts })
    const error = await failure(
      (async () => {
        for await (const chunk of stream) chunks.push(chunk)
      })(),
    )
    const { code } = error
    assert.ok(codes.includes(code), error.message)
    assert.equal(chunks.filter(({ type }) => type === 'finish').length, 0)
    const seen = chunks.map(({ content }) => content).join('')
    assert.equal(error.partial?.content, seen)
    assert.ok(plain.startsWith(seen) && (share > 0 || seen === '') && (share === 0 || seen !== ''), seen)
    assert.equal(error.partial?.finishReason, 'error')
    assert.equal(error.partial?.usage.source, 'estimated')
    if (code === 'timeout') assert.equal(error.phase, share === 0 ? 'firstChunk' : 'idle')
    assert.equal((await failure(stream.response)).code, code)
    if (code === 'timeout')
      await until(() => requests()[0]?.isClosedByClient === true, 'the socket was closed')
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  })
}

function statuses(subject: Subject): Cases {
  const codes: [status: number, code: ErrorCode, isRetryable: boolean][] = [
    [400, 'invalid_request', false],
    [401, 'authentication', false],
    [403, 'permission', false],
    [404, 'model_not_found', false],
    [429, 'rate_limited', true],
    [500, 'server_error', true],
    [503, 'overloaded', true],
    [529, 'overloaded', true],
  ]
  return [
    ...codes.map(([status, code, isRetryable]): Cases[number] => [
      `status ${status} is ${code}, with the wait that the vendor asked for`,
      () =>
        play(
          subject,
          {
            reply: { text: plain },
            faults: [
              { status, retryAfter: 7 },
              { status, retryAfter: 7 },
            ],
          },
          async ({ llm }) => {
            for (const call of [llm.agenerate('Hi', quick), llm.stream('Hi', quick).response]) {
              const error = await failure(call)
              assert.equal(error.code, code)
              assert.equal(error.status, status)
              assert.equal(error.isRetryable, isRetryable)
              assert.equal(error.retryAfterMs, 7_000)
              assert.equal(error.provider, llm.provider)
              assert.equal(error.attempts, 1)
            }
          },
        ),
    ]),
    [
      'a reset before the headers, and a busy vendor, are tried again',
      () =>
        play(
          subject,
          {
            reply: { text: plain },
            faults: [{ reset: true }, { status: 503 }],
          },
          async ({ llm, requests }) => {
            const retry = { minDelayMs: 1 }
            const reply = await llm.agenerate('Hi', { retry })
            assert.equal(reply.content, plain)
            assert.equal(reply.timing.attempts, 3)
            assert.equal(requests().length, 3)
          },
        ),
    ],
    [
      'no key shows in an error or in inspect, even when the vendor echoes it',
      () =>
        play(
          subject,
          { reply: { text: plain }, faults: [{ status: 401, message: `Incorrect API key: ${secretKey}` }] },
          async ({ llm }) => {
            const error = await failure(llm.agenerate('Hi'))
            const shown = inspect([error, llm], { depth: 12, showHidden: true }) + JSON.stringify(error)
            assert.ok(!shown.includes(secretKey), shown)
            assert.match(error.message, /redacted/)
          },
        ),
    ],
  ]
}

function cancels(subject: Subject): Cases {
  const long = { reply: { text: plain.repeat(20) }, paceMs: 10 }
  /** Reads until the text begins, ends the stream in some way, and looks for what must be true afterwards. */
  const cancelled =
    (end: (stream: ReturnType<LLM['stream']>, controller: AbortController) => Promise<void>) => () =>
      play(subject, long, async ({ llm, requests }) => {
        const controller = new AbortController()
        const stream = llm.stream('Hi', { signal: controller.signal })
        await end(stream, controller)
        const error = await failure(stream.response)
        assert.equal(error.code, 'cancelled')
        assert.equal(error.partial?.finishReason, 'cancelled')
        assert.ok(error.partial.content.length > 0 && plain.repeat(20).startsWith(error.partial.content))
        assert.ok(error.partial.usage.outputTokens > 0)
        await until(() => requests()[0]?.isClosedByClient === true, 'the socket was closed')
        assert.deepEqual(llm.activity, { running: 0, queued: 0 })
        assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
      })
  return [
    [
      'a signal cancels: the loop throws, the socket closes, no listener stays',
      cancelled(async (stream, controller) => {
        const error = await failure(
          (async () => {
            for await (const { content } of stream) if (content) controller.abort()
          })(),
        )
        assert.equal(error.code, 'cancelled')
      }),
    ],
    [
      '.cancel() cancels: the loop throws, the socket closes',
      cancelled(async (stream) => {
        const error = await failure(
          (async () => {
            for await (const { content } of stream) if (content) stream.cancel('enough')
          })(),
        )
        assert.match(error.message, /enough/)
      }),
    ],
    [
      'leaving the loop cancels: the socket closes',
      cancelled(async (stream) => {
        for await (const { content } of stream) if (content) break
      }),
    ],
    [
      'a signal that was aborted before sends nothing',
      () =>
        play(subject, long, async ({ llm, requests }) => {
          const signal = AbortSignal.abort()
          assert.equal((await failure(llm.agenerate('Hi', { signal }))).code, 'cancelled')
          assert.equal((await failure(all(llm.stream('Hi', { signal })))).code, 'cancelled')
          assert.equal(requests().length, 0)
        }),
    ],
    [
      'a plain call is cancelled too',
      () =>
        play(
          subject,
          { reply: { text: plain }, faults: [{ latencyMs: 5_000 }] },
          async ({ llm, requests }) => {
            const controller = new AbortController()
            const call = llm.agenerate('Hi', { signal: controller.signal })
            await until(() => requests().length === 1, 'the request arrived')
            controller.abort()
            assert.equal((await failure(call)).code, 'cancelled')
            await until(() => requests()[0]?.isClosedByClient === true, 'the socket was closed')
          },
        ),
    ],
  ]
}

async function reasoning(subject: Subject): Promise<void> {
  const reply = { reasoning: 'First this, then that.', text: plain }
  await play(subject, { reply }, async ({ llm }) => {
    const stream = llm.stream('Hi')
    const chunks = await all(stream)
    assert.equal(chunks.map(({ content }) => content).join(''), plain)
    for (const whole of [await stream.response, await llm.agenerate('Hi')]) {
      assert.equal(whole.reasoning, reply.reasoning)
      assert.equal(whole.content, plain)
      assert.equal(whole.message.content[0]?.type, 'reasoning')
    }
  })
}

async function tools(subject: Subject): Promise<void> {
  const toolCalls = [
    { name: 'weather', arguments: { city: 'Oslo "centre"', days: [1, 2], deep: { a: null } } },
    { name: 'weather', arguments: { city: '京都 😀' } },
    { name: 'clock', arguments: {} },
  ]
  const options = { tools: toolCalls.slice(1).map(({ name }) => ({ name, description: name })) }
  await play(subject, { reply: { toolCalls } }, async ({ llm }) => {
    const stream = llm.stream('Hi', options)
    const chunks = await all(stream)
    for (const whole of [await stream.response, await llm.agenerate('Hi', options)]) {
      assert.deepEqual(
        whole.toolCalls.map(({ name, arguments: input }) => ({ name, arguments: input })),
        toolCalls,
      )
      assert.equal(new Set(whole.toolCalls.map(({ id }) => id)).size, 3)
      assert.equal(whole.finishReason, 'tool-calls')
    }
    for (const { id, name } of (await stream.response).toolCalls) {
      const steps = chunks.filter((chunk) => idOf(chunk) === id).map(({ type }) => type)
      assert.equal(steps[0], 'tool-call-start', name)
      assert.equal(steps.at(-1), 'tool-call', name)
    }
  })
}

function idOf(chunk: StreamChunk): string | undefined {
  return chunk.type === 'tool-call' ? chunk.toolCall.id : 'id' in chunk ? chunk.id : undefined
}

async function cutArguments(subject: Subject): Promise<void> {
  const reply: ScriptedReply = {
    toolCalls: [{ name: 'weather', arguments: '{"city":"Os' }],
    finishReason: 'length',
  }
  await play(subject, { reply }, async ({ llm }) => {
    const error = await failure(llm.stream('Hi', { ...quick, tools: [{ name: 'weather' }] }).response)
    assert.equal(error.code, 'malformed_response')
    assert.deepEqual(error.partial?.toolCalls, [])
  })
}

async function models(subject: Subject): Promise<void> {
  await play(subject, { reply: { text: plain } }, async ({ llm }) => {
    const list = await llm.listModels()
    assert.ok(list.length > 0)
    for (const { id } of list) assert.ok(id.length > 0)
  })
}

async function play(
  subject: Subject,
  scenario: Scenario,
  act: (stage: Stage) => Promise<void>,
  options?: LLMOptions,
): Promise<void> {
  const stage = await subject.open(scenario, options)
  try {
    await act(stage)
  } finally {
    await stage.close()
  }
}

async function all(stream: AsyncIterable<StreamChunk>): Promise<StreamChunk[]> {
  const chunks: StreamChunk[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

/** The error that a promise rejects with, which must be a ConvokeError. */
async function failure(promise: Promise<unknown>): Promise<ConvokeError> {
  const error: unknown = await promise.then(
    (value) => assert.fail(`no error, but ${inspect(value)}`),
    (reason: unknown) => reason,
  )
  assert.ok(isConvokeError(error), inspect(error))
  return error
}

/** Waits until a claim is true; a vendor sees a closed socket within 250 ms. */
async function until(claim: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 250
  while (!claim()) {
    assert.ok(performance.now() < deadline, `not within 250 ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

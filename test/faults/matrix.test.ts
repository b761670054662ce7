/** Every fault of a stream × every vendor × every place in the reply, many at once: each ends exactly as promised. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { isConvokeError } from 'convoke'
import type { ConvokeError, GenerateResponse, LLM, ResponseStream, StreamChunk } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Fault, RequestRecord, Simulator } from 'convoke/simulator'
import { test } from 'vitest'
import { serve } from './serve.ts'
import { openLLM, streamOf, streams, understand, vendors } from './vendors.ts'
import type { Vendor } from './vendors.ts'
import { watchProcess } from './watch-process.ts'

/** The number of simultaneous calls of each combination. */
const times = 16
const closeWithinMs = 250
const places = { start: 0, middle: 0.5, end: 1 } as const
type Place = keyof typeof places
const words = Array.from({ length: 40 }, (_, at) => `word ${at} 😀 `)
const text = words.join('')

/** The end of one stream, as its caller saw it. */
interface Ending {
  seen: string
  finishes: number
  /** The error that the loop threw; undefined when it ended without one. */
  thrown: unknown
  response: GenerateResponse | undefined
  error: ConvokeError | undefined
}

const faults: Record<string, (share: number) => Fault> = {
  cut: (share) => ({ cutAfter: share }),
  'clean early end': (share) => ({ endAfter: share }),
  junk: (share) => ({ junkAfter: share }),
  stall: (share) => ({ stallAfter: share }),
  'error event': (share) => ({ errorAfter: share }),
}

/** The code of each vendor's error event. OpenAI's names only server_error; Cohere's and Ollama's have no type. */
const codeOf = (fault: string, vendor: Vendor) =>
  ({
    cut: 'stream_truncated',
    'clean early end': 'stream_truncated',
    junk: 'malformed_response',
    stall: 'timeout',
    'error event': vendor === 'anthropic' || vendor === 'gemini' ? 'overloaded' : 'server_error',
  })[fault]

const counts = new Map<string, number>()
const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1)

async function read(stream: ResponseStream, onChunk: (chunk: StreamChunk) => boolean): Promise<Ending> {
  const ending: Ending = { seen: '', finishes: 0, thrown: undefined, response: undefined, error: undefined }
  try {
    for await (const chunk of stream) {
      ending.seen += chunk.content
      if (chunk.type === 'finish') ending.finishes++
      if (onChunk(chunk)) break
    }
  } catch (error) {
    ending.thrown = error
  }
  await stream.response.then(
    (response) => (ending.response = response),
    (error: unknown) => {
      assert.ok(isConvokeError(error), inspect(error))
      ending.error = error
    },
  )
  return ending
}

/** Checks the promises that hold for every failed stream. */
function checkFailure(ending: Ending, place: Place, label: string): ConvokeError {
  const { error, seen } = ending
  assert.ok(error, `${label}: a success, with ${JSON.stringify(ending.response?.content.slice(-40))}`)
  assert.equal(ending.finishes, 0, label)
  const { partial } = error
  assert.ok(partial, label)
  assert.ok(text.startsWith(partial.content), `${label}: ${partial.content}`)
  assert.ok(partial.content.startsWith(seen), `${label}: ${seen} of ${partial.content}`)
  assert.equal(partial.content === '', place === 'start', `${label}: ${error.message}`)
  const { inputTokens, outputTokens, totalTokens } = partial.usage
  assert.equal(totalTokens, inputTokens + outputTokens, label)
  // A stream that failed before its first piece of text may have cost nothing.
  if (place !== 'start') assert.ok(inputTokens > 0 && outputTokens > 0, label)
  assert.equal(error.attempts, 1, label)
  assert.ok(error.provider && error.model, label)
  return error
}

/** A short time-out, used only for stalls, because a busy machine could exceed it in the other cases. */
const stallMs = 200
const stallTimeouts = (place: Place) => ({
  firstChunkMs: place === 'start' ? stallMs : 5_000,
  idleMs: stallMs,
})
const many = <T>(run: (at: number) => Promise<T>) =>
  Promise.all(Array.from({ length: times }, (_, at) => run(at)))
const open = (vendor: Vendor, url: string) =>
  openLLM(vendor, url, { retry: { attempts: 1 }, maxConcurrent: 200, timeouts: { totalMs: 20_000 } })

async function breakStreams(vendor: Vendor, llm: LLM, fault: string, place: Place): Promise<void> {
  await many(async (at) => {
    const label = `${vendor}, ${fault} at the ${place}`
    const options = fault === 'stall' ? { timeouts: stallTimeouts(place) } : {}
    const ending = await read(llm.stream(`${fault}/${place}/${at}`, options), () => false)
    const error = checkFailure(ending, place, label)
    assert.equal(error.code, codeOf(fault, vendor), `${label}: ${error.message}`)
    assert.equal(ending.thrown, error, label)
    assert.equal(error.partial?.content, ending.seen, label)
    assert.equal(error.partial?.finishReason, 'error', label)
    const phase = fault !== 'stall' ? undefined : place === 'start' ? 'firstChunk' : 'idle'
    assert.equal(error.phase, phase, label)
    // Half of the events hold about half of the text, and all but the last event hold all of it.
    if (place === 'middle') assert.ok(ending.seen.length > text.length * 0.3, `${label}: ${ending.seen}`)
    if (place === 'end' && vendor !== 'ollama') assert.equal(ending.seen, text, label)
    count(`${error.code}${phase ? ` ${phase}` : ''}`)
  })
}

/** Checks that the reply is complete, and that nothing was added. */
async function succeed(llm: LLM, prompt: string, what: string): Promise<void> {
  await many(async () => {
    const ending = await read(llm.stream(prompt), () => false)
    assert.deepEqual([ending.seen, ending.finishes, ending.thrown], [text, 1, undefined], what)
    assert.equal(ending.response?.content, text)
    count(what)
  })
}

for (const vendor of vendors) {
  test(`${vendor}: every fault at every place ends as promised, ${times} at once`, async () => {
    const watch = watchProcess()
    await using simulator = await startSimulator({
      reply: { chunks: words },
      fault: ({ prompt }) => {
        const [fault = '', place = 'start'] = prompt.split('/')
        return fault === 'comments' ? { comments: true } : faults[fault]?.(places[place as Place])
      },
    })
    await using llm = open(vendor, simulator.url)
    await llm.agenerate('The SDK is loaded before any clock matters.')
    for (const fault of Object.keys(faults)) {
      await Promise.all(Object.keys(places).map((place) => breakStreams(vendor, llm, fault, place as Place)))
    }
    // NDJSON has no comments.
    if (vendor !== 'ollama') await succeed(llm, 'comments', "success under the vendor's comments")
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
    await watch.stop()
    assert.deepEqual([watch.rejections, watch.warnings], [[], []])
  })
}

/** The bytes of a whole reply, with extra bytes before every event of its text. */
function strewn(vendor: Vendor, between: string): string {
  const { head, text: event, tail } = streams[vendor]
  return head + words.map((word) => between + event(word)).join('') + between + tail
}

for (const vendor of vendors) {
  test(`${vendor}: comments of a proxy between the events are nothing`, async () => {
    await using server = await serve((_, response) => {
      const { comment, contentType } = streams[vendor]
      response.setHeader('content-type', contentType)
      response.end(comment + strewn(vendor, comment))
    })
    await using llm = open(vendor, server.url)
    await succeed(llm, 'comments', "success under a proxy's comments")
  })
}

/** The empty events that vendors, or servers with their protocols, send to keep the connection alive. */
const pings: Record<Vendor, readonly [what: string, wire: string][]> = {
  openai: [
    ['no choices', 'data: {"id":"c","model":"test-model","choices":[]}\n\n'],
    [
      'usage alone',
      'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":9,"total_tokens":10}}\n\n',
    ],
  ],
  anthropic: [['ping', 'event: ping\ndata: {"type":"ping"}\n\n']],
  gemini: [
    ['an empty object', 'data: {}\n\n'],
    ['usage alone', 'data: {"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":9}}\n\n'],
  ],
  cohere: [['an event of an unknown type', 'data: {"type":"ping"}\n\n']],
  // NDJSON has no events without content.
  ollama: [['an empty line', '\n']],
}
const pingMs = 40
const pingKinds = Object.values(pings).flat().length

for (const vendor of vendors) {
  test(`${vendor}: pings are nothing between the events, and no sign of a reply that goes on`, async () => {
    const { head, text: event, contentType } = streams[vendor]
    const half =
      head +
      words
        .slice(0, words.length / 2)
        .map(event)
        .join('')
    await using server = await serve((_, response, body) => {
      const [, play, at] = /(stall|strewn)\/(\d)/.exec(body) ?? []
      const [, ping = ''] = pings[vendor][Number(at)] ?? []
      response.setHeader('content-type', contentType)
      if (play !== 'stall') return response.end(strewn(vendor, ping))
      response.write(half)
      const timer = setInterval(() => response.write(ping), pingMs)
      response.on('close', () => clearInterval(timer))
    })
    await using llm = open(vendor, server.url)
    await llm.stream('The SDK is loaded before any clock matters.').response
    for (const [at, [what]] of pings[vendor].entries()) {
      await succeed(llm, `strewn/${at}`, 'success under pings')
      await many(async () => {
        const label = `${vendor}, half a reply and then ${what} every ${pingMs} ms`
        const timeouts = { idleMs: stallMs, totalMs: 5_000 }
        const sentAt = performance.now()
        const error = checkFailure(
          await read(llm.stream(`stall/${at}`, { timeouts }), () => false),
          'middle',
          label,
        )
        const tookMs = performance.now() - sentAt
        assert.deepEqual([error.code, error.phase], ['timeout', 'idle'], `${label}: ${error.message}`)
        assert.ok(tookMs >= stallMs - 1 && tookMs < 2_000, `${label}: after ${tookMs} ms`)
        count('timeout under pings')
      })
    }
  })
}

for (const vendor of vendors) {
  test(`${vendor}: a stall under comments is a timeout all the same`, async () => {
    await using server = await serve((request, response, body) => {
      const { head, text: event, comment, contentType } = streams[understand(request.url ?? '', body).vendor]
      const place = /stall\/(start|middle|end)/.exec(body)?.[1] as Place | undefined
      if (!place) return response.end(streamOf(vendor, words))
      const sent = words.slice(0, words.length * places[place]).map(event)
      response.setHeader('content-type', contentType)
      response.write(place === 'start' ? comment : head + sent.join(''))
      const timer = setInterval(() => response.write(comment), 20)
      response.on('close', () => clearInterval(timer))
    })
    await using llm = open(vendor, server.url)
    await llm.stream('whole').response
    await Promise.all(
      (['start', 'middle', 'end'] as const).map((place) =>
        many(async () => {
          const label = `${vendor}, comments and nothing else from the ${place} on`
          const sentAt = performance.now()
          const error = checkFailure(
            await read(llm.stream(`stall/${place}`, { timeouts: stallTimeouts(place) }), () => false),
            place,
            label,
          )
          assert.deepEqual([error.code, error.phase], ['timeout', place === 'start' ? 'firstChunk' : 'idle'])
          const tookMs = performance.now() - sentAt
          assert.ok(tookMs >= stallMs - 1 && tookMs < 3_000, `${label}: after ${tookMs} ms`)
          count('timeout under comments')
        }),
      ),
    )
  })
}

type Cancel = 'signal' | '.cancel()' | 'leaving the loop'
const cancels: readonly Cancel[] = ['signal', '.cancel()', 'leaving the loop']

/** Cancels one stream at a place. Returns the milliseconds until the server saw the socket close. */
async function cancelOne(
  simulator: Simulator,
  llm: LLM,
  cancel: Cancel,
  place: Place,
  at: number,
): Promise<number> {
  const label = `${llm.provider}, ${cancel} at the ${place}`
  const controller = new AbortController()
  const prompt = `${cancel}/${place}/${at}`
  const stream = llm.stream(prompt, { signal: controller.signal })
  const record = () => simulator.requests.find((request) => request.prompt === prompt)
  let cancelledAt = 0
  const end = () => {
    cancelledAt = performance.now()
    if (cancel === 'signal') controller.abort(new Error('enough'))
    if (cancel === '.cancel()') stream.cancel('enough')
    return cancel === 'leaving the loop'
  }
  // Before the headers there is no loop to leave, so the loop is left at its first chunk.
  const isBeforeHeaders = place === 'start' && cancel !== 'leaving the loop'
  if (isBeforeHeaders) void until(() => record() !== undefined, 'the request came').then(end)
  let pieces = 0
  const wanted = Math.max(1, Math.floor(words.length * places[place]))
  const ending = await read(stream, ({ content }) =>
    isBeforeHeaders || (content && ++pieces < wanted) || (!content && place !== 'start')
      ? false
      : cancelledAt === 0 && end(),
  )
  const error = checkFailure(ending, isBeforeHeaders ? 'start' : 'middle', label)
  assert.equal(error.code, 'cancelled', `${label}: ${error.message}`)
  assert.equal(error.partial?.finishReason, 'cancelled', label)
  if (cancel !== 'leaving the loop') {
    assert.equal(ending.thrown, error, label)
    assert.match(error.message, /enough/)
  } else assert.equal(ending.thrown, undefined, label)
  await until(() => record()?.outcome !== 'open', `${label}: the server saw its socket closed`)
  assert.equal(record()?.outcome, 'client-closed', label)
  count(`cancelled by ${cancel}`)
  return ((record() as RequestRecord).endedAt as number) - cancelledAt
}

async function until(claim: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5_000
  while (!claim()) {
    assert.ok(performance.now() < deadline, what)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

for (const vendor of vendors) {
  test(`${vendor}: a cancel of any kind at any place closes the socket within ${closeWithinMs} ms`, async (t) => {
    const watch = watchProcess()
    await using simulator = await startSimulator({
      reply: ({ prompt }) => {
        const [cancel, place] = prompt.split('/')
        if (place === 'start') {
          // The latency is so long that no event comes before the cancel; but leaving a loop needs a first event.
          return cancel === 'leaving the loop'
            ? { chunks: words, paceMs: 20 }
            : { chunks: words, latencyMs: 5_000 }
        }
        // Cancels in the middle of the text, and after the last piece of text but before the terminal event.
        return place === 'middle'
          ? { chunks: words, paceMs: 10 }
          : { chunks: words, fault: { stallAfter: 0.999 } }
      },
    })
    await using llm = open(vendor, simulator.url)
    const delays = await Promise.all(
      cancels.flatMap((cancel) =>
        Object.keys(places).map((place) =>
          many((at) => cancelOne(simulator, llm, cancel, place as Place, at)),
        ),
      ),
    )
    const worst = Math.max(...delays.flat())
    await t.annotate(
      `${vendor}: ${delays.flat().length} cancels, the slowest socket closed after ${worst.toFixed(0)} ms`,
    )
    assert.ok(worst <= closeWithinMs, `${worst} ms`)
    assert.equal(simulator.openStreams, 0)
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
    await watch.stop()
    assert.deepEqual([watch.rejections, watch.warnings], [[], []])
  })
}

test('the whole matrix was played, each ending as often as it should', async (t) => {
  const perPlace = vendors.length * times
  await t.annotate(
    [...counts]
      .sort()
      .map(([what, number]) => `${number} × ${what}`)
      .join(', '),
  )
  assert.equal(counts.get('stream_truncated'), perPlace * 6)
  assert.equal(counts.get('malformed_response'), perPlace * 3)
  assert.equal(counts.get('timeout firstChunk'), perPlace)
  assert.equal(counts.get('timeout idle'), perPlace * 2)
  assert.equal((counts.get('overloaded') ?? 0) + (counts.get('server_error') ?? 0), perPlace * 3)
  assert.equal(counts.get("success under the vendor's comments"), perPlace - times)
  assert.equal(counts.get("success under a proxy's comments"), perPlace)
  assert.equal(counts.get('success under pings'), pingKinds * times)
  assert.equal(counts.get('timeout under pings'), pingKinds * times)
  assert.equal(counts.get('timeout under comments'), perPlace * 3)
  for (const cancel of cancels) assert.equal(counts.get(`cancelled by ${cancel}`), perPlace * 3)
})

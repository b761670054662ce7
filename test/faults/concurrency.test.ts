/** The server never sees more than maxConcurrent requests at once, however the calls end. */
import assert from 'node:assert/strict'
import type http from 'node:http'
import { isConvokeError } from 'convoke'
import type { LLM } from 'convoke'
import { test } from 'vitest'
import { serve } from './serve.ts'
import { openLLM, plainOf, streamOf, streams, understand, vendors } from './vendors.ts'

const calls = 300
const maxConcurrent = 10
/** Kinds of calls. Some occur twice, so that the retries of the others stay within the retry budget. */
const kinds = [
  'plain',
  'plain',
  'stream',
  'stream',
  'slow stream',
  'slow stream',
  'stall',
  'busy once',
  'cut',
  'stall',
  'reset once',
  'cancelled in the stream',
  'cancelled before the headers',
  'left',
] as const
type Kind = (typeof kinds)[number]

const words = Array.from({ length: 30 }, (_, at) => `word ${at} `)
const text = words.join('')

/** Counts requests from their first byte until the server sees their end. */
class Gauge {
  open = 0
  most = 0
  total = 0

  watch(request: http.IncomingMessage, response: http.ServerResponse): void {
    this.open++
    this.total++
    this.most = Math.max(this.most, this.open)
    const { socket } = request
    let isOver = false
    const over = () => {
      if (!isOver) this.open--
      isOver = true
      socket.off('end', over).off('close', over)
    }
    response.once('finish', over)
    socket.once('end', over).once('close', over)
  }
}

/** Answers according to the kind in the prompt. */
function answerer(): (request: http.IncomingMessage, response: http.ServerResponse, body: string) => void {
  const seen = new Set<string>()
  return (request, response, body) => {
    const { vendor, isStream } = understand(request.url ?? '', body)
    const [, kind = '', number = ''] = /kind ([a-z ]+), call (\d+)/.exec(body) ?? []
    const isFirst = !seen.has(number)
    seen.add(number)
    const send = (whole: string) => {
      response.setHeader('content-type', isStream ? streams[vendor].contentType : 'application/json')
      response.end(whole)
    }
    const begin = () => {
      response.setHeader('content-type', streams[vendor].contentType)
      response.write(streams[vendor].head + words.slice(0, 10).map(streams[vendor].text).join(''))
    }
    switch (kind as Kind) {
      case 'busy once':
        if (!isFirst) return send(isStream ? streamOf(vendor, words) : plainOf(vendor, text))
        return void response.writeHead(503).end('{}')
      case 'reset once':
        if (isFirst) return void request.socket.resetAndDestroy()
        return send(isStream ? streamOf(vendor, words) : plainOf(vendor, text))
      case 'cut':
        begin()
        return void setTimeout(() => request.socket.resetAndDestroy(), 10)
      case 'stall':
      case 'left':
      case 'cancelled in the stream':
        return begin()
      case 'cancelled before the headers':
        return
      case 'slow stream':
        begin()
        return void setTimeout(
          () => response.end(words.slice(10).map(streams[vendor].text).join('') + streams[vendor].tail),
          20,
        )
      default:
        return void setTimeout(() => send(isStream ? streamOf(vendor, words) : plainOf(vendor, text)), 5)
    }
  }
}

/** Makes one call of a kind, and returns how it ended. */
async function call(llm: LLM, kind: Kind, number: number, controller: AbortController): Promise<string> {
  const prompt = `kind ${kind}, call ${number}`
  if (kind === 'plain' || kind === 'busy once' || kind === 'reset once') {
    return (await llm.agenerate(prompt)).content === text ? 'success' : 'a wrong text'
  }
  const options = { signal: controller.signal, ...(kind === 'stall' ? { timeouts: { idleMs: 60 } } : {}) }
  const stream = llm.stream(prompt, options)
  for await (const { content } of stream) {
    if (content && kind === 'left') break
    if (content && kind === 'cancelled in the stream') stream.cancel()
  }
  return (await stream.response).content === text ? 'success' : 'a wrong text'
}

const promised: Record<Kind, string> = {
  plain: 'success',
  stream: 'success',
  'slow stream': 'success',
  'busy once': 'success',
  'reset once': 'success',
  cut: 'stream_truncated',
  stall: 'timeout',
  left: 'cancelled',
  'cancelled in the stream': 'cancelled',
  'cancelled before the headers': 'cancelled',
}

for (const vendor of vendors) {
  test(`${vendor}: ${calls} calls of every kind never have more than ${maxConcurrent} requests open`, async (t) => {
    const gauge = new Gauge()
    const answer = answerer()
    await using server = await serve(answer, (request, response) => gauge.watch(request, response))
    await using llm = openLLM(vendor, server.url, { maxConcurrent, retry: { minDelayMs: 5, maxDelayMs: 20 } })
    await llm.agenerate('kind plain, call 999')
    let mostRunning = 0
    const endings = await Promise.all(
      Array.from({ length: calls }, async (_, number) => {
        const kind = kinds[number % kinds.length] as Kind
        const controller = new AbortController()
        if (kind === 'cancelled before the headers')
          setTimeout(() => controller.abort(), 40 + (number % 7) * 30)
        const ended = await call(llm, kind, number, controller).catch((error: unknown) =>
          isConvokeError(error) ? error.code : String(error),
        )
        mostRunning = Math.max(mostRunning, llm.activity.running)
        return { kind, ended }
      }),
    )
    await t.annotate(
      `${vendor}: ${calls} calls, ${gauge.total} requests, at most ${gauge.most} open at the server, ${mostRunning} running`,
    )
    for (const { kind, ended } of endings) assert.equal(ended, promised[kind], kind)
    assert.ok(gauge.most <= maxConcurrent, `${gauge.most} open`)
    assert.equal(gauge.most, maxConcurrent, 'the limit was never reached: nothing was put to the test')
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  })

  test(`${vendor}: a full queue refuses, and every slot comes back`, async () => {
    await using server = await serve(answerer())
    await using llm = openLLM(vendor, server.url, { maxConcurrent: 2, maxQueue: 3 })
    const endings = await Promise.all(
      Array.from({ length: 10 }, (_, number) =>
        call(llm, 'plain', number, new AbortController()).catch((error: unknown) =>
          isConvokeError(error) ? error.code : String(error),
        ),
      ),
    )
    assert.deepEqual(endings.sort(), [...Array(5).fill('queue_full'), ...Array(5).fill('success')])
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
    assert.equal((await llm.agenerate('kind plain, call 1')).content, text)
  })
}

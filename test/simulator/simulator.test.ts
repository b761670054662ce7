/** The simulator itself: options, routes, keys, parsed requests, the log, start and end. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { test } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Simulator, SimulatorOptions } from '../../src/simulator/index.ts'

type Headers = Record<string, string>

const chat = (content: unknown = 'Hi', stream = false) => ({
  model: 'm',
  stream,
  messages: [{ role: 'user', content }],
})

test('the base URL fits the SDK of each vendor', async () => {
  await using simulator = await startSimulator()
  assert.match(simulator.url, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.equal(simulator.url, `http://127.0.0.1:${simulator.port}`)
  for (const name of ['anthropic', 'gemini', 'google', 'cohere', 'ollama']) {
    assert.equal(simulator.baseURL(name), simulator.url)
  }
  for (const name of ['openai', 'groq', 'deepseek', 'anything']) {
    assert.equal(simulator.baseURL(name), `${simulator.url}/v1`)
  }
})

test('it listens on the given port and host, and fails when it cannot', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const { port } = taken.address() as AddressInfo
  await assert.rejects(startSimulator({ port }), { code: 'EADDRINUSE' })
  await new Promise((resolve) => taken.close(resolve))
  await using simulator = await startSimulator({ port, host: 'localhost' })
  assert.equal(simulator.url, `http://localhost:${port}`)
  assert.equal((await post(simulator, '/v1/chat/completions', chat())).status, 200)
})

const BAD_OPTIONS: [options: unknown, message: RegExp][] = [
  [{ latency: 5 }, /Unknown field options\.latency; fields are .*latencyMs/],
  [{ port: 70_000 }, /options\.port must be a whole number from 0 to 65535, not 70000/],
  [{ chunkSize: 0 }, /options\.chunkSize must be a whole number from 1, not 0/],
  [{ chunkSize: 1.5 }, /options\.chunkSize must be a whole number from 1, not 1\.5/],
  [{ paceMs: -1 }, /options\.paceMs must be milliseconds from 0 to 2147483647, not -1/],
  [{ latencyMs: NaN }, /options\.latencyMs must be milliseconds .* not NaN/],
  [{ models: 'gpt' }, /options\.models must be an array of strings, not "gpt"/],
  [{ fault: { status: 20 } }, /fault\.status must be a whole number from 200 to 599, not 20/],
  [{ fault: { cutAfter: 50 } }, /fault\.cutAfter must be a share from 0 to 1, not 50/],
  [{ fault: { stall: 0.5 } }, /Unknown field fault\.stall; fields are .*stallAfter/],
  [{ fault: { body: 'x' } }, /fault\.body needs fault\.status/],
  [{ fault: { reset: false } }, /fault\.reset must be true or absent, not false/],
  [{ reply: 5 }, /reply must be an object, not 5/],
  [{ reply: { texts: 'x' } }, /Unknown field reply\.texts/],
  [{ reply: { text: 'ab', chunks: ['a'] } }, /reply\.text differs from reply\.chunks/],
  [{ reply: { toolCalls: [{ arguments: {} }] } }, /reply\.toolCalls\[0\]\.name must be a string/],
  [{ reply: { finishReason: 'end' } }, /reply\.finishReason must be one of stop, length/],
  [{ reply: { usage: { input: 3 } } }, /Unknown field reply\.usage\.input/],
]
for (const [options, message] of BAD_OPTIONS) {
  test(`it refuses ${JSON.stringify(options)}`, async () => {
    await assert.rejects(startSimulator(options as SimulatorOptions), (error) => {
      assert.ok(error instanceof TypeError || error instanceof RangeError)
      assert.match(error.message, message)
      return true
    })
  })
}

test('it refuses invalid replies and faults after the start, too', async () => {
  await using simulator = await startSimulator()
  assert.throws(() => simulator.setReply({ text: 5 } as never), /reply\.text must be a string, not 5/)
  assert.throws(() => simulator.failNext({ status: 1 }), RangeError)
  assert.throws(() => simulator.failNext({ status: 500 }, 0), /times must be a whole number from 1, not 0/)
})

test('an invalid reply or fault of a function gives status 500 with the reason', async () => {
  await using simulator = await startSimulator({ reply: () => ({ txt: 'x' }) as never })
  const first = await post(simulator, '/v1/chat/completions', chat())
  assert.equal(first.status, 500)
  assert.match(await first.text(), /Unknown field reply\.txt/)
  await using other = await startSimulator({ fault: () => ({ status: 9 }) })
  const second = await post(other, '/api/chat', chat())
  assert.equal(second.status, 500)
  assert.match(await second.text(), /fault\.status/)
})

test('an unknown path gets a 404 in JSON, and is in the log', async () => {
  await using simulator = await startSimulator()
  for (const path of ['/v1/nothing', '/', '/api/nothing', '/v1beta/models/x:embedContent']) {
    const reply = await post(simulator, path, {})
    assert.equal(reply.status, 404)
    assert.match(JSON.stringify(await reply.json()), /No vendor has POST/)
  }
  assert.deepEqual(
    simulator.requests.map((record) => [record.api, record.outcome]),
    Array(4).fill(['unknown', 'error']),
  )
})

test('the shared path of the models answers in the format of the SDK that asks', async () => {
  await using simulator = await startSimulator({ models: ['m'] })
  const list = async (headers: Headers, query = '') =>
    (await fetch(`${simulator.url}/v1/models${query}`, { headers })).json()
  assert.partialDeepStrictEqual(await list({}), { object: 'list', data: [{ id: 'm' }] })
  assert.partialDeepStrictEqual(await list({ 'anthropic-version': '2023-06-01' }), { first_id: 'm' })
  assert.partialDeepStrictEqual(await list({ 'x-fern-sdk-name': 'cohere-ai' }), { models: [{ name: 'm' }] })
  assert.partialDeepStrictEqual(await list({ 'user-agent': 'cohere-ai/8' }), { models: [{ name: 'm' }] })
  assert.partialDeepStrictEqual(await list({}, '?key=k'), { models: [{ name: 'models/m' }] })
})

test("invalid JSON and a body without a model get a 400 in the vendor's format", async () => {
  await using simulator = await startSimulator()
  const send = (body: string) => fetch(`${simulator.url}/v1/messages`, { method: 'POST', body })
  for (const body of ['{"model":', '', '"text"', '{}']) {
    const reply = await send(body)
    assert.equal(reply.status, 400)
    assert.partialDeepStrictEqual(await reply.json(), {
      type: 'error',
      error: { type: 'invalid_request_error' },
    })
  }
  assert.equal((await post(simulator, '/v1/messages', chat())).status, 200)
})

test('the key is read from where the SDKs put it', async () => {
  await using simulator = await startSimulator({ apiKey: 'secret' })
  const gemini = '/v1beta/models/m:generateContent'
  const status = async (path: string, headers: Headers = {}) =>
    (await post(simulator, path, { ...chat(), contents: [] }, headers)).status
  assert.equal(await status('/v1/chat/completions', { authorization: 'Bearer secret' }), 200)
  assert.equal(await status('/v1/messages', { 'x-api-key': 'secret' }), 200)
  assert.equal(await status('/v1/messages', { authorization: 'Bearer secret' }), 200)
  assert.equal(await status(gemini, { 'x-goog-api-key': 'secret' }), 200)
  assert.equal(await status(`${gemini}?key=secret`), 200)
  assert.equal(await status('/api/chat', { authorization: 'Bearer secret' }), 200)
  assert.equal(await status('/api/chat'), 401)
  assert.equal(await status(`${gemini}?key=other`), 401)
})

test('a reply function gets the request, its system prompt, its tools and its attempt', async () => {
  await using simulator = await startSimulator({
    reply: (request) => JSON.stringify([request.system, request.messages, request.tools, request.attempt]),
  })
  const messages = [
    { role: 'user', content: 'Weather?' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: '1', type: 'function', function: { name: 'f' } }],
    },
    { role: 'tool', tool_call_id: '1', content: 'Sunny' },
  ]
  const body = {
    model: 'm',
    stream: false,
    messages: [{ role: 'system', content: 'Be brief.' }, ...messages],
    tools: [{ type: 'function', function: { name: 'f' } }],
  }
  const anthropicBody = {
    model: 'm',
    system: [{ type: 'text', text: 'Be brief.' }],
    messages: [
      messages[0],
      {
        role: 'assistant',
        content: [{ type: 'tool_use', id: '1', name: 'f', input: {} }],
      },
      {
        role: 'user',
        content: [
          {
            type: 'tool_result',
            tool_use_id: '1',
            content: [{ type: 'text', text: 'Sunny' }],
          },
        ],
      },
    ],
    tools: [{ name: 'f', input_schema: {} }],
  }
  const geminiBody = {
    systemInstruction: { parts: [{ text: 'Be brief.' }] },
    contents: [
      { role: 'user', parts: [{ text: 'Weather?' }] },
      { role: 'model', parts: [{ functionCall: { name: 'f', args: {} } }] },
      {
        role: 'user',
        parts: [{ functionResponse: { name: 'f', response: 'Sunny' } }],
      },
    ],
    tools: [{ functionDeclarations: [{ name: 'f' }] }],
  }
  const responsesBody = {
    model: 'm',
    instructions: 'Be brief.',
    input: [
      { role: 'user', content: [{ type: 'input_text', text: 'Weather?' }] },
      { type: 'function_call', call_id: '1', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: '1', output: 'Sunny' },
    ],
    tools: [{ type: 'function', name: 'f' }],
  }
  const requests: [string, unknown][] = [
    ['/v1/chat/completions', body],
    ['/v1/responses', responsesBody],
    ['/v1/messages', anthropicBody],
    ['/v2/chat', body],
    ['/api/chat', body],
    ['/v1beta/models/m:generateContent', geminiBody],
  ]
  for (const [path, sent] of requests) {
    for (const attempt of [1, 2]) {
      const reply = await post(simulator, path, sent)
      assert.equal(reply.status, 200, path)
      const record = simulator.requests.at(-1) ?? assert.fail()
      assert.equal(record.system, 'Be brief.', path)
      assert.deepEqual(record.tools, ['f'], path)
      assert.deepEqual(
        record.messages.map((message) => message.role),
        ['user', 'assistant', 'tool'],
        path,
      )
      assert.match(record.messages[2]?.text ?? '', /Sunny/, path)
      assert.equal(record.prompt, 'Weather?', path)
      assert.equal(record.attempt, attempt, path)
    }
  }
})

test('the log keeps the last 10,000 requests, and reset clears it', async () => {
  await using simulator = await startSimulator()
  const count = 10_050
  // The requests are pipelined by hand, because so many calls of fetch would take too long.
  const socket = connect(simulator.port, '127.0.0.1')
  socket.resume().write('GET /api/version HTTP/1.1\r\nHost: simulator\r\n\r\n'.repeat(count))
  while (simulator.requests.at(-1)?.number !== count) await sleep(10)
  socket.destroy()
  assert.equal(simulator.requests.length, 10_000)
  assert.equal(simulator.requests[0]?.number, 51)
  assert.equal(simulator.requests.at(-1)?.attempt, count)
  simulator.reset()
  assert.equal(simulator.requests.length, 0)
  await (await fetch(`${simulator.url}/api/version`)).text()
  assert.deepEqual([simulator.requests[0]?.number, simulator.requests[0]?.attempt], [1, 1])
})

test('a stream has chunked encoding if the client and the headers allow it', async () => {
  await using simulator = await startSimulator({ reply: { chunks: ['größer'] } })
  const raw = async (version: string, headers = {}) => {
    const body = JSON.stringify({ ...chat(), stream: true })
    const socket = connect(simulator.port, '127.0.0.1')
    const fault = JSON.stringify({ headers })
    socket.write(
      `POST /api/chat HTTP/${version}\r\nHost: simulator\r\nConnection: close\r\nx-simulator-fault: ${fault}\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    )
    const text = Buffer.concat((await socket.toArray()) as Buffer[]).toString()
    const [head = '', ...rest] = text.split('\r\n\r\n')
    return { isChunked: /transfer-encoding: chunked/i.test(head), body: rest.join('\r\n\r\n') }
  }
  const chunked = await raw('1.1')
  assert.ok(chunked.isChunked)
  assert.match(chunked.body, /^[\da-f]+\r\n\{.*größer[^]*\r\n0\r\n\r\n$/)
  for (const plain of [await raw('1.0'), await raw('1.1', { 'content-length': '99999' })]) {
    assert.ok(!plain.isChunked)
    assert.match(plain.body, /^\{.*größer[^]*\}\n$/)
  }
})

test('connections are kept alive and counted', async () => {
  await using simulator = await startSimulator()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const reused: boolean[] = []
  for (let sent = 0; sent < 5; sent++) {
    const sending = request(`${simulator.url}/api/chat`, { agent, method: 'POST' }).end(
      JSON.stringify(chat()),
    )
    const [reply] = (await once(sending, 'response')) as [IncomingMessage]
    await once(reply.resume(), 'end')
    reused.push(sending.reusedSocket)
  }
  assert.deepEqual(reused, [false, true, true, true, true])
  assert.equal(simulator.openSockets, 1)
  agent.destroy()
})

test('a body over 64 MiB gets status 413, and the simulator goes on', async () => {
  await using simulator = await startSimulator()
  const reply = await fetch(`${simulator.url}/v1/messages`, {
    method: 'POST',
    body: Buffer.alloc(65 * 1024 * 1024, 32),
  })
  assert.equal(reply.status, 413)
  assert.match(await reply.text(), /request_too_large/)
})

test('close() destroys open streams, can be called twice, and lets the process exit', async () => {
  const script = `
    import { startSimulator } from './src/simulator/index.ts'
    const simulator = await startSimulator({ reply: 'x'.repeat(400), paceMs: 1000, latencyMs: 0 })
    const body = JSON.stringify({ model: 'm', messages: [] , stream: true })
    const reply = await fetch(simulator.url + '/v1/chat/completions', { method: 'POST', body })
    const read = reply.text().catch(() => 'destroyed')
    simulator.failNext({ latencyMs: 60_000, status: 500 })
    const late = fetch(simulator.url + '/api/version').catch(() => 'destroyed')
    while (simulator.requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    await Promise.all([simulator.close(), simulator.close()])
    console.log(await read, await late, simulator.openSockets, simulator.openStreams, simulator.requests.map((record) => record.outcome).join())
  `
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module-typescript', '-e', script],
    {
      cwd: new URL('../..', import.meta.url),
      timeout: 30_000,
    },
  )
  assert.equal(stdout.trim(), 'destroyed destroyed 0 0 client-closed,client-closed')
})

function post(simulator: Simulator, path: string, body: unknown, headers: Headers = {}): Promise<Response> {
  return fetch(simulator.url + path, { method: 'POST', body: JSON.stringify(body), headers })
}

/** A script that closes nothing still ends, whatever its calls met. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { createLLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'

const run = promisify(execFile)
const asScript = (script: string) => [
  '--conditions=convoke-source',
  '--unhandled-rejections=strict',
  '--input-type=module',
  '-e',
  script,
]

const script = `
  import { createLLM } from 'convoke'
  const [name, baseURL] = process.argv.slice(1)
  const llm = createLLM(name, { model: 'm', apiKey: 'sk-0123456789', baseURL, retry: { attempts: 1 } })
  const code = (promise) => promise.then(() => 'ok', (error) => error.code)
  const seen = []
  seen.push(await code(llm.agenerate('Hi')))
  for await (const { content } of llm.stream('Hi')) if (content) break
  seen.push(await code(llm.stream('stall', { timeouts: { idleMs: 50 } }).response))
  seen.push(await code(llm.stream('cut').response))
  seen.push(await code(llm.agenerate('slow', { timeouts: { totalMs: 50 } })))
  seen.push(await code(llm.agenerate('slow', { signal: AbortSignal.timeout(50) })))
  const nowhere = createLLM(name, { model: 'm', apiKey: 'sk-0123456789', baseURL: 'http://127.0.0.1:9', retry: { attempts: 1 } })
  seen.push(await code(nowhere.agenerate('Hi')))
  seen.push(await code(nowhere.stream('Hi').response))
  void llm.stream('Hi')
  void llm.stream('long', { streamConfig: { bufferSize: 2 } })
  const left = llm.stream('long', { streamConfig: { bufferSize: 2 } })[Symbol.asyncIterator]()
  await left.next()
  await new Promise((resolve) => setTimeout(resolve, 50))
  console.log(seen.join())
`

for (const name of ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']) {
  test(`a script that calls ${name} and closes nothing ends by itself, and prints nothing of its own`, async () => {
    await using simulator = await startSimulator({
      reply: ({ prompt }) => ({
        text: 'A reply of some length, so that it can break in the middle.'.repeat(
          prompt === 'long' ? 500 : 1,
        ),
        paceMs: 2,
        ...(prompt === 'stall' ? { fault: { stallAfter: 0.5 } } : {}),
        ...(prompt === 'cut' ? { fault: { cutAfter: 0.5 } } : {}),
        ...(prompt === 'slow' ? { latencyMs: 20_000 } : {}),
      }),
    })
    const { stdout, stderr } = await run(
      process.execPath,
      [...asScript(script), name, simulator.baseURL(name)],
      {
        timeout: 10_000,
      },
    )
    assert.equal(stderr, '')
    assert.equal(stdout, 'ok,timeout,stream_truncated,timeout,cancelled,connection,connection\n')
  })
}

test('a server that leaves the connection open behind the end of a reply holds nobody, and its socket is closed', async () => {
  let closed = 0
  const server = http.createServer((request, response) => {
    request.resume()
    response.on('close', () => closed++)
    response.write(
      'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const text = `
    import { createLLM } from 'convoke'
    const llm = createLLM('openai', { model: 'm', apiKey: 'sk-0123456789', baseURL: process.argv[1] })
    console.log((await Promise.all([1, 2, 3].map(() => llm.stream('Hi').response))).map(({ content }) => content).join())
  `
  try {
    const options = ['--conditions=convoke-source', '--input-type=module', '-e', text, baseURL]
    const { stdout } = await run(process.execPath, options, { timeout: 8_000 })
    assert.equal(stdout, 'Hi,Hi,Hi\n')
    const llm = createLLM('openai', { model: 'm', apiKey: 'sk-0123456789', baseURL })
    assert.equal((await llm.stream('Hi').response).content, 'Hi')
    for (let at = 0; at < 300 && closed < 4; at++) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(closed, 4)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('a reply that came whole before its slow reader was done holds nobody', async () => {
  const server = http.createServer((request, response) => {
    request.resume()
    const event = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
    const end = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    response.setHeader('keep-alive', 'timeout=60')
    response.end(event.repeat(300) + end)
  })
  server.keepAliveTimeout = 60_000
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const text = `
    import { createLLM } from 'convoke'
    const llm = createLLM('openai', { model: 'm', apiKey: 'sk-0123456789', baseURL: process.argv[1] })
    let count = 0
    for await (const { content } of llm.stream('Hi')) {
      if (content && ++count % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    }
    console.log(count)
  `
  try {
    const options = ['--conditions=convoke-source', '--input-type=module', '-e', text, baseURL]
    const { stdout } = await run(process.execPath, options, { timeout: 8_000 })
    assert.equal(stdout, '300\n')
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('a silent server ends a list of models by a time-out or by close()', async () => {
  const server = net.createServer((socket) => socket.on('error', () => {}))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const llm = createLLM('ollama', { baseURL, timeouts: { idleMs: 50, firstChunkMs: 50 } })
  await assert.rejects(llm.listModels(), { code: 'timeout' })
  await assert.rejects(llm.pullModel('m').next(), { code: 'timeout' })
  const patient = createLLM('ollama', { baseURL })
  const listing = assert.rejects(patient.listModels(), { code: 'cancelled' })
  await patient.close()
  await listing
  server.close()
})

test('a script with a session that it never closes ends by itself, and leaves no temporary file', async () => {
  await using simulator = await startSimulator()
  const script = `
    import { existsSync } from 'node:fs'
    import { createLLM, createSession } from 'convoke'
    const session = createSession(createLLM('openai/m', { apiKey: 'sk-0123456789', baseURL: process.argv[1] }))
    await session.agenerate('Hi')
    console.log(existsSync(session.store.name) + ' ' + session.store.name)
  `
  const ran = run(process.execPath, [...asScript(script), simulator.baseURL('openai')], { timeout: 10_000 })
  const [, wasThere, path = ''] = /^(\w+) (.*)/.exec((await ran).stdout) ?? []
  assert.equal(wasThere, 'true')
  assert.equal(existsSync(path), false)
})

test('a fan-out whose chunks nobody reads holds no process, whatever its deadline', async () => {
  await using simulator = await startSimulator({ reply: 'word '.repeat(500) })
  const unread = `
    import { createLLM, fanOut } from 'convoke'
    const llm = createLLM('openai', { model: 'm', apiKey: 'k', baseURL: process.argv[1], streamConfig: { bufferSize: 2 } })
    fanOut([llm, llm], 'Hi', { stream: true, timeoutMs: 60_000 })
  `
  await run(process.execPath, [...asScript(unread), simulator.baseURL('openai')], { timeout: 30_000 })
})

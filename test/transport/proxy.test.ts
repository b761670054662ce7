/** Proxies by option and by environment: real proxies, plain and tunnelled, with every built-in SDK's requests behind. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { createLLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator } from 'convoke/simulator'
import { afterAll, beforeAll, test } from 'vitest'
import { httpFetch } from '../../src/transport/http-fetch.ts'

const run = promisify(execFile)
const certificate = `${import.meta.dirname}/../support/fixtures/tls-certificate.pem`

/** What a proxy was asked for: the line of the request, and the credentials. */
interface Asked {
  line: string
  credentials: string | undefined
}

let simulator: Simulator
let proxy: http.Server
let target: https.Server
const asked: Asked[] = []
/** What the proxy answers to CONNECT. */
let tunnelStatus = 200

const address = (server: net.Server) => `127.0.0.1:${(server.address() as AddressInfo).port}`

beforeAll(async () => {
  simulator = await startSimulator({ reply: 'By proxy.' })
  const forward = (path: string, request: http.IncomingMessage, response: http.ServerResponse) => {
    const { method, headers } = request
    const onward = http.request(simulator.url + path, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    })
    request.pipe(onward)
  }
  // The vendor itself, behind TLS.
  target = https.createServer(
    {
      key: readFileSync(`${import.meta.dirname}/../support/fixtures/tls-key.pem`),
      cert: readFileSync(certificate),
    },
    (request, response) => forward(request.url ?? '', request, response),
  )
  proxy = http.createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? '')
    asked.push({
      line: `${request.method} ${request.url}`,
      credentials: request.headers['proxy-authorization'],
    })
    delete request.headers['proxy-authorization']
    forward(pathname + search, request, response)
  })
  proxy.on('connect', (request: http.IncomingMessage, socket: net.Socket) => {
    asked.push({ line: `CONNECT ${request.url}`, credentials: request.headers['proxy-authorization'] })
    if (tunnelStatus !== 200) return socket.end(`HTTP/1.1 ${tunnelStatus} No\r\ncontent-length: 0\r\n\r\n`)
    const onward = net.connect((target.address() as AddressInfo).port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    onward.on('error', () => socket.destroy())
    socket.on('error', () => onward.destroy())
  })
  await Promise.all([
    once(proxy.listen(0, '127.0.0.1'), 'listening'),
    once(target.listen(0, '127.0.0.1'), 'listening'),
  ])
})

afterAll(async () => {
  proxy.closeAllConnections()
  target.closeAllConnections()
  proxy.close()
  target.close()
  await simulator.close()
})

const options = { model: 'm', apiKey: 'key-1', retry: { attempts: 1 } }

test('a plain address goes through the proxy as it is, with user and password', async () => {
  asked.length = 0
  const llm = createLLM('openai', {
    ...options,
    baseURL: 'http://llm.example.test/v1',
    proxy: `http://ann:s%3Acret@${address(proxy)}`,
  })
  assert.equal((await llm.agenerate('Hi')).content, 'By proxy.')
  assert.deepEqual(asked, [
    {
      line: 'POST http://llm.example.test/v1/chat/completions',
      credentials: `Basic ${Buffer.from('ann:s:cret').toString('base64')}`,
    },
  ])
})

for (const name of ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']) {
  test(`${name}: the option reaches this machine through the proxy, too, and a stream`, async () => {
    asked.length = 0
    const llm = createLLM(name, {
      ...options,
      baseURL: name === 'openai' ? `${simulator.url}/v1` : simulator.url,
      proxy: `http://${address(proxy)}`,
    })
    let text = ''
    for await (const { content } of llm.stream('Hi')) text += content
    assert.equal(text, 'By proxy.')
    assert.equal(asked.length, 1)
    assert.ok(asked[0]?.line.startsWith(`POST ${simulator.url}/`), asked[0]?.line)
  })
}

test('a proxy that opens no tunnel is a connection error that says what to do, without the password', async () => {
  tunnelStatus = 407
  try {
    const llm = createLLM('openai', {
      ...options,
      baseURL: 'https://llm.example.test/v1',
      proxy: `http://ann:secret-word@${address(proxy)}`,
    })
    const error = (await llm.agenerate('Hi').catch((reason: unknown) => reason)) as Error & { code: string }
    assert.equal(error.code, 'connection')
    assert.match(
      error.message,
      /opened no tunnel to llm\.example\.test:443: status 407\. Put a user and a password/,
    )
    assert.doesNotMatch(`${error.stack}${JSON.stringify(error)}`, /secret-word/)
  } finally {
    tunnelStatus = 200
  }
})

test('a cancel right after the call leaves no socket at a proxy that says nothing', async () => {
  const sockets = new Set<net.Socket>()
  const silent = net.createServer((socket) => {
    sockets.add(
      socket
        .resume()
        .on('error', () => {})
        .on('close', () => sockets.delete(socket)),
    )
  })
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  try {
    const init = { proxy: `http://${address(silent)}` }
    for (const delayMs of [undefined, 0, 20]) {
      const controller = new AbortController()
      const request = httpFetch('https://llm.example.test/', { ...init, signal: controller.signal })
      if (delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, delayMs))
      controller.abort(new Error('enough'))
      await assert.rejects(request, /enough/)
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.equal(sockets.size, 0, `after ${delayMs} ms`)
    }
    await assert.rejects(httpFetch('https://llm.example.test/', { ...init, connectMs: 50 }), {
      phase: 'connect',
    })
  } finally {
    silent.close()
  }
})

test('a user and a password in the address go to the vendor, and a bare % is what it is', async () => {
  const ollama = createLLM('ollama', {
    ...options,
    apiKey: '',
    baseURL: simulator.url.replace('//', '//ann:50%off-today@'),
    name: 'own',
  })
  assert.equal((await ollama.agenerate('Hi')).content, 'By proxy.')
  const credentials = `Basic ${Buffer.from('ann:50%off-today').toString('base64')}`
  assert.equal(simulator.requests.at(-1)?.headers['authorization'], credentials)
})

test('an address that is no HTTP proxy is refused at once, without its password', () => {
  for (const proxy of ['', 'proxy.example:3128', 'socks5://ann:secret-word@127.0.0.1:1080', 'http://']) {
    assert.throws(
      () => createLLM('openai', { ...options, proxy }),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'configuration')
        assert.match(error.message, /not the address of an HTTP proxy. Pass an address such as http/)
        assert.doesNotMatch(error.message, /secret-word/)
        return true
      },
    )
  }
  assert.throws(() => createLLM('openai', { ...options, proxy: 'http://p.example:1', fetch }), {
    code: 'configuration',
    message: /A fetch of your own/,
  })
})

const script = `
  import { createLLM } from 'convoke'
  const [baseURL, proxy] = JSON.parse(process.env.GIVEN)
  const options = { model: 'm', apiKey: 'key-1', retry: { attempts: 1 }, baseURL }
  const llm = createLLM('openai', proxy === null ? options : { ...options, proxy })
  console.log(await llm.agenerate('Hi').then((reply) => reply.content, (error) => error.message))
`

async function inProcess(env: Record<string, string>, baseURL: string, proxyOption?: string | false) {
  asked.length = 0
  const { stdout } = await run(
    process.execPath,
    ['--conditions=convoke-source', '--input-type=module', '--eval', script],
    {
      cwd: `${import.meta.dirname}/../..`,
      env: {
        PATH: process.env['PATH'] ?? '',
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
        NODE_EXTRA_CA_CERTS: certificate,
        GIVEN: JSON.stringify([baseURL, proxyOption]),
        ...env,
      },
    },
  )
  return stdout.trim()
}

test('HTTPS_PROXY opens a tunnel, and TLS is checked against the vendor', async () => {
  const env = { HTTPS_PROXY: `http://ann:secret@${address(proxy)}` }
  assert.equal(await inProcess(env, 'https://llm.example.test/v1'), 'By proxy.')
  const credentials = `Basic ${Buffer.from('ann:secret').toString('base64')}`
  assert.deepEqual(asked, [{ line: 'CONNECT llm.example.test:443', credentials }])
  assert.match(
    await inProcess({ HTTPS_PROXY: 'socks5://ann:secret@127.0.0.1:1' }, 'https://llm.example.test/v1'),
    /The proxy that the environment names for llm.example.test is no HTTP proxy/,
  )
  // The certificate is another host's.
  assert.match(
    await inProcess(env, 'https://other.example.test/v1'),
    /connection failed: Hostname\/IP does not match/,
  )
})

test('NO_PROXY, `proxy: false` and addresses of this machine go past the proxy of the environment', async () => {
  const env = { HTTP_PROXY: `http://${address(proxy)}` }
  assert.equal(await inProcess(env, 'http://llm.example.test/v1'), 'By proxy.')
  assert.equal(asked.length, 1)
  assert.match(
    await inProcess({ ...env, NO_PROXY: '.example.test' }, 'http://llm.example.test/v1'),
    /ENOTFOUND|EAI_AGAIN/,
  )
  assert.match(await inProcess(env, 'http://llm.example.test/v1', false), /ENOTFOUND|EAI_AGAIN/)
  assert.equal(await inProcess(env, `${simulator.url}/v1`), 'By proxy.')
  assert.equal(asked.length, 0)
})

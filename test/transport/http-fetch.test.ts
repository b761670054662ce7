/** The transport, over real sockets. */
import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import http from 'node:http'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import zlib from 'node:zlib'
import { createLLM, isConvokeError } from 'convoke'
import { test } from 'vitest'
import { read as readPiece } from '../../src/transport/byte-source.ts'
import { httpFetch } from '../../src/transport/http-fetch.ts'
import type { HttpResponse } from '../../src/transport/http-response.ts'

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void

const fixture = (name: string) => readFileSync(`${import.meta.dirname}/../support/fixtures/${name}`)
const key = fixture('tls-key.pem')
const cert = fixture('tls-certificate.pem')

async function serve(
  handler: Handler,
  act: (url: string, server: http.Server) => Promise<void>,
): Promise<void> {
  const server = http.createServer(handler)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  try {
    await act(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, server)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

async function read({ source }: HttpResponse): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for (let bytes = await readPiece(source); bytes; bytes = await readPiece(source)) {
    text += decoder.decode(bytes, { stream: true })
  }
  return text
}

test('sends method, headers in any form, and a body with its length in bytes', async () => {
  await serve(
    async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      response.end(
        JSON.stringify({
          method: request.method,
          headers: request.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      )
    },
    async (url) => {
      for (const headers of [
        { 'X-Mark': 'é'.length.toString() },
        new Headers({ 'x-mark': '1' }),
        [['x-mark', '1']],
      ]) {
        const response = await httpFetch(url, { method: 'POST', headers, body: '{"a":"é😀"}' })
        const seen = JSON.parse(await read(response)) as {
          method: string
          headers: Record<string, string>
          body: string
        }
        assert.equal(response.status, 200)
        assert.equal(response.ok, true)
        assert.equal(seen.method, 'POST')
        assert.equal(seen.headers['x-mark'], '1')
        assert.equal(seen.headers['content-length'], '14')
        assert.equal(seen.body, '{"a":"é😀"}')
      }
    },
  )
})

test('a DELETE with a body has its length, and the connection serves the next request', async () => {
  const bodies: string[] = []
  await serve(
    async (request, response) => {
      let text = ''
      for await (const chunk of request) text += String(chunk)
      bodies.push(`${request.method} ${text}`)
      response.end('{}')
    },
    async (url) => {
      for (const method of ['DELETE', 'POST']) {
        const response = await httpFetch(url, { method, body: '{"model":"m"}' })
        assert.equal(response.status, 200)
        await read(response)
      }
    },
  )
  assert.deepEqual(bodies, ['DELETE {"model":"m"}', 'POST {"model":"m"}'])
})

test('unpacks gzip, deflate and brotli, and tells a cut one from a whole one', async () => {
  const packed: Record<string, Buffer> = {
    gzip: zlib.gzipSync('hello '.repeat(100)),
    deflate: zlib.deflateSync('hello '.repeat(100)),
    br: zlib.brotliCompressSync('hello '.repeat(100)),
  }
  await serve(
    (request, response) => {
      const [, encoding = '', cut] = (request.url ?? '').split('/')
      response.setHeader('content-encoding', encoding)
      const body = packed[encoding] as Buffer
      response.end(cut ? body.subarray(0, body.length - 12) : body)
    },
    async (url) => {
      for (const encoding of Object.keys(packed)) {
        assert.equal(await read(await httpFetch(`${url}/${encoding}`)), 'hello '.repeat(100))
        await assert.rejects(read(await httpFetch(`${url}/${encoding}/cut`)), encoding)
      }
    },
  )
})

test('a broken compression, and one that nobody can read, are malformed, not cut off', async () => {
  await serve(
    (request, response) => {
      response.setHeader('content-encoding', request.url?.startsWith('/gzip') ? 'gzip' : 'compress')
      response.end(zlib.gzipSync('{"choices":[]}'.repeat(100)).fill(7, 12))
    },
    async (url) => {
      for (const path of ['gzip', 'compress']) {
        const llm = createLLM('openai', { model: 'm', apiKey: 'k', baseURL: `${url}/${path}` })
        await assert.rejects(llm.agenerate('Hi'), {
          code: 'malformed_response',
          message: /\[openai\] The reply('s compression is broken| is compressed in a way)/,
        })
      }
    },
  )
})

test('follows a redirect that keeps the method, and hides credentials from another origin', async () => {
  await serve(
    (request, response) => response.end(JSON.stringify(request.headers)),
    async (other) => {
      await serve(
        (request, response) => {
          if (request.url === '/end') return response.end(`${request.method}`)
          response.writeHead(307, { location: request.url === '/far' ? other : '/end' }).end()
        },
        async (url) => {
          const init = { method: 'POST', body: '{}', headers: { authorization: 'Bearer k', 'x-other': '1' } }
          assert.equal(await read(await httpFetch(`${url}/near`, init)), 'POST')
          const seen = JSON.parse(await read(await httpFetch(`${url}/far`, init))) as Record<string, string>
          assert.equal(seen['authorization'], undefined)
          assert.equal(seen['x-other'], '1')
        },
      )
    },
  )
})

test('a connection that does not stand in time is a timeout of the phase connect', async () => {
  // It takes the socket and never shakes hands.
  const server = net.createServer((socket) => socket.on('error', () => {}))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  try {
    const patient = new AbortController()
    const waiting = httpFetch(`https://127.0.0.1:${port}/`, { connectMs: 3e9, signal: patient.signal })
    setTimeout(() => patient.abort(new Error('still waiting')), 60)
    await assert.rejects(waiting, /still waiting/)
    const error = await httpFetch(`https://127.0.0.1:${port}/`, { connectMs: 50 }).then(
      () => assert.fail('connected'),
      (reason: unknown) => reason,
    )
    assert.ok(isConvokeError(error), String(error))
    assert.deepEqual([error.code, error.phase], ['timeout', 'connect'])
  } finally {
    server.close()
  }
})

test('an abort before the headers and one inside the body reject with its reason, and leave no listener', async () => {
  await serve(
    (request, response) => {
      if (request.url === '/slow') return
      response.write('first')
    },
    async (url) => {
      for (const path of ['/slow', '/body']) {
        const controller = new AbortController()
        const reason = new Error('enough')
        const reading = httpFetch(url + path, { signal: controller.signal }).then(read)
        setTimeout(() => controller.abort(reason), 20)
        await assert.rejects(reading, reason)
        await new Promise((resolve) => setTimeout(resolve, 5))
        assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
      }
      await assert.rejects(httpFetch(url, { signal: AbortSignal.abort(new Error('before')) }), /before/)
    },
  )
})

/** A server that answers each socket's first requests, and resets the socket when the next one arrives. */
async function serveThenReset(
  answered: number,
  act: (url: string, seen: { requests: number; sockets: number }) => Promise<void>,
): Promise<void> {
  const seen = { requests: 0, sockets: 0 }
  const server = net.createServer((socket) => {
    seen.sockets++
    let requests = 0
    socket.on('error', () => {})
    socket.on('data', () => {
      seen.requests++
      if (++requests > answered) return socket.resetAndDestroy()
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  try {
    await act(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen)
  } finally {
    server.close()
  }
}

test('a kept-alive connection that is dead is replaced once, unseen', async () => {
  await serveThenReset(1, async (url, seen) => {
    for (let at = 0; at < 20; at++)
      assert.equal(await read(await httpFetch(url, { method: 'POST', body: '{}' })), 'ok')
    assert.deepEqual(seen, { requests: 39, sockets: 20 })
  })
})

test('a new connection that breaks is an error, and nothing is sent again', async () => {
  await serveThenReset(0, async (url, seen) => {
    await assert.rejects(httpFetch(url, { method: 'POST', body: '{}' }), { code: 'ECONNRESET' })
    assert.deepEqual(seen, { requests: 1, sockets: 1 })
  })
})

test('a kept-alive connection that breaks late, or inside a response, is an error, and nothing is sent again', async () => {
  let requests = 0
  await serve(
    (request, response) => {
      requests++
      if (request.url === '/ok') return response.end('ok')
      if (request.url === '/late') return void setTimeout(() => request.socket.resetAndDestroy(), 1_100)
      response.write('half', () => request.socket.resetAndDestroy())
    },
    async (url) => {
      for (const path of ['/late', '/half']) {
        requests = 0
        await read(await httpFetch(`${url}/ok`))
        await assert.rejects(httpFetch(url + path).then(read), { code: /ECONNRESET|UND_ERR_SOCKET/ })
        assert.equal(requests, 2)
      }
    },
  )
})

test('a cancel while the connection is being made closes it, and the next request gets another', async () => {
  const sockets: net.Socket[] = []
  // It takes the socket and never shakes hands.
  const server = net.createServer((socket) => sockets.push(socket.on('error', () => {})))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
  try {
    const controller = new AbortController()
    const request = httpFetch(url, { signal: controller.signal })
    await once(server, 'connection')
    const closed = once(sockets[0] as net.Socket, 'close')
    controller.abort(new Error('enough'))
    await assert.rejects(request, /enough/)
    await closed
    const second = httpFetch(url, { connectMs: 50 })
    await assert.rejects(second, { phase: 'connect' })
    assert.equal(sockets.length, 2)
  } finally {
    server.close()
  }
})

test('a reader that pauses stops the socket, and nothing of what follows is lost', async () => {
  const piece = Buffer.alloc(65_536, 'x')
  let sent = 0
  await serve(
    async (_request, response) => {
      for (; sent < 1_000; sent++) if (!response.write(piece)) await once(response, 'drain')
      response.end()
    },
    async (url) => {
      const { source } = await httpFetch(url)
      await new Promise((resolve) => setTimeout(resolve, 300))
      // What the two sockets' own buffers take.
      assert.ok(sent < 300, `${sent} pieces were sent to a reader that reads none`)
      let bytes = 0
      for (let next = await readPiece(source); next; next = await readPiece(source)) bytes += next.length
      assert.equal(bytes, 1_000 * piece.length)
    },
  )
})

for (const ending of ['end', 'reset'] as const) {
  for (const framing of ['content-length', 'close'] as const) {
    test(`a slow reader of a body framed by ${framing} sees its ${ending}, and no crash`, async () => {
      const size = 400_000
      const server = net.createServer((socket) => {
        socket.on('error', () => {})
        socket.once('data', () => {
          const length =
            framing === 'close' ? '' : `content-length: ${ending === 'end' ? size : size + 9}\r\n`
          socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\n${length}\r\n`)
          // Behind the last byte, when the reader has stopped the socket already.
          socket.write(Buffer.alloc(size, 'x'), () => {
            setTimeout(() => (ending === 'end' ? socket.end() : socket.resetAndDestroy()), 50)
          })
        })
      })
      await once(server.listen(0, '127.0.0.1'), 'listening')
      try {
        const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
        const { source } = await httpFetch(url, { method: 'POST', body: '{}' })
        await new Promise((resolve) => setTimeout(resolve, 150))
        let bytes = 0
        const reading = (async () => {
          for (let next = await readPiece(source); next; next = await readPiece(source)) bytes += next.length
        })()
        if (ending === 'end') {
          await reading
          assert.equal(bytes, size)
        } else if (framing === 'content-length') await assert.rejects(reading)
        // Nothing but the vendor's own terminal event tells whether such a body was whole.
        else await reading
      } finally {
        server.close()
      }
    })
  }
}

test('an idle connection that was reset while nobody looked is replaced, unseen', async () => {
  let sockets = 0
  await serve(
    (request, response) => {
      sockets++
      response.end('ok', () => setTimeout(() => request.socket.resetAndDestroy(), 20))
    },
    async (url) => {
      for (let at = 0; at < 10; at++) {
        assert.equal(await read(await httpFetch(url, { method: 'POST', body: '{}' })), 'ok')
        await new Promise((resolve) => setTimeout(resolve, 10))
        const until = performance.now() + 30
        // The reset arrives while the event loop is busy.
        while (performance.now() < until);
      }
      assert.equal(sockets, 10)
    },
  )
})

test('a connection that is made late has its time-out, too', async () => {
  let answered = false
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    if (answered) return
    answered = true
    const secure = new tls.TLSSocket(socket, { isServer: true, key, cert })
    secure.on('error', () => {})
    secure.once('data', () =>
      secure.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'),
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  try {
    assert.equal(await read(await httpFetch(url, { connectMs: 2_000 })), 'ok')
    await assert.rejects(httpFetch(url, { connectMs: 100 }), { code: 'timeout', phase: 'connect' })
  } finally {
    if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
    server.close()
  }
})

test('an answer by upgrade is an error, not a silence', async () => {
  await serve(
    () => {},
    async (url, server) => {
      server.on('upgrade', () => {})
      server.removeAllListeners('request')
      server.on('request', (_request, response) => {
        response.writeHead(101, { connection: 'upgrade', upgrade: 'websocket' }).flushHeaders()
      })
      await assert.rejects(httpFetch(url), /upgrade/)
    },
  )
})

/** What a server may do around a response, byte by byte, and what becomes of the connection. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { createLLM } from 'convoke'
import { test } from 'vitest'
import { read as readPiece } from '../../src/transport/byte-source.ts'
import { httpFetch } from '../../src/transport/http-fetch.ts'
import type { HttpResponse } from '../../src/transport/http-response.ts'

type OnSocket = (socket: net.Socket) => void

const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function serve(onSocket: OnSocket, act: (url: string, sockets: net.Socket[]) => Promise<void>) {
  const sockets: net.Socket[] = []
  const server = net.createServer((socket) => {
    sockets.push(socket.on('error', () => {}))
    onSocket(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  try {
    await act(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, sockets)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

/** Answers each piece that comes, which is a request, by these bytes. */
const answering =
  (bytes: string): OnSocket =>
  (socket) =>
    socket.on('data', () => socket.write(bytes))

async function read({ source }: HttpResponse): Promise<string> {
  let text = ''
  for (let bytes = await readPiece(source); bytes; bytes = await readPiece(source)) {
    text += Buffer.from(bytes).toString('latin1')
  }
  return text
}

test('responses of the kind 1xx go before the response', async () => {
  const hints = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n'
  await serve(answering(hints + ok), async (url, sockets) => {
    for (let at = 0; at < 2; at++) assert.equal(await read(await httpFetch(url)), 'ok')
    assert.equal(sockets.length, 1)
  })
})

test('a chunked body with extensions and trailers is whole, and its connection serves the next request', async () => {
  const chunked =
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;name=value\r\nok\r\n0\r\nx-after: 1\r\n\r\n'
  await serve(answering(chunked), async (url, sockets) => {
    for (let at = 0; at < 2; at++) assert.equal(await read(await httpFetch(url)), 'ok')
    assert.equal(sockets.length, 1)
  })
})

test('a response without a length ends with its connection, also that of HTTP/1.0', async () => {
  for (const version of ['1.0', '1.1']) {
    await serve(
      (socket) => socket.once('data', () => socket.end(`HTTP/${version} 200 OK\r\n\r\nok`)),
      async (url, sockets) => {
        for (let at = 0; at < 2; at++) assert.equal(await read(await httpFetch(url)), 'ok')
        assert.equal(sockets.length, 2)
      },
    )
  }
})

test('a whole body whose connection has closed waits for its reader', async () => {
  for (const header of ['content-length: 2\r\nconnection: close', 'connection: close']) {
    await serve(
      (socket) => socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\n${header}\r\n\r\nok`)),
      async (url) => {
        const response = await httpFetch(url)
        await wait(50)
        assert.equal(await read(response), 'ok')
      },
    )
  }
})

test('a body that breaks off gives what had come, then the error', async () => {
  for (const head of ['content-length: 9', 'transfer-encoding: chunked']) {
    const body = head.startsWith('content') ? 'half' : '4\r\nhalf\r\n'
    await serve(
      (socket) =>
        socket.once('data', () =>
          socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${body}`, () =>
            setTimeout(() => socket.resetAndDestroy(), 30),
          ),
        ),
      async (url) => {
        const { source } = await httpFetch(url)
        // The break comes before anybody reads.
        await wait(100)
        assert.equal(String(await readPiece(source)), 'half')
        await assert.rejects(readPiece(source), { code: 'ECONNRESET' })
      },
    )
  }
})

test('bytes that no HTTP has are an error before the response, and a break inside it', async () => {
  await serve(answering('SSH-2.0-server\r\n'), async (url) => {
    await assert.rejects(httpFetch(url), { code: /^HPE_/ })
  })
  const badChunk = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n'
  await serve(answering(badChunk), async (url) => {
    await assert.rejects(httpFetch(url).then(read), { code: /^HPE_/ })
  })
})

test('headers of more than 16 KiB are an error', async () => {
  await serve(answering(`HTTP/1.1 200 OK\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`), async (url) => {
    await assert.rejects(httpFetch(url), { code: 'HPE_HEADER_OVERFLOW' })
  })
})

test('a connection is not used again after `connection: close`, or after a hint that it ends within a second', async () => {
  for (const header of ['connection: close', 'keep-alive: timeout=1']) {
    await serve(answering(ok.replace('\r\n\r\n', `\r\n${header}\r\n\r\n`)), async (url, sockets) => {
      for (let at = 0; at < 2; at++) assert.equal(await read(await httpFetch(url)), 'ok')
      assert.equal(sockets.length, 2, header)
    })
  }
})

test('bytes on an idle connection close it, and are no response to the next request', async () => {
  const stray = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray'
  let answered = 0
  await serve(
    (socket) =>
      socket.on('data', () => {
        socket.write(ok)
        if (answered++ === 0) setTimeout(() => socket.write(stray), 20)
      }),
    async (url, sockets) => {
      assert.equal(await read(await httpFetch(url)), 'ok')
      await wait(60)
      assert.equal(await read(await httpFetch(url)), 'ok')
      assert.equal(sockets.length, 2)
    },
  )
})

test('a second response right behind the first is dropped, and its connection closed', async () => {
  await serve(answering(ok + ok.replace('ok', 'no')), async (url, sockets) => {
    for (let at = 0; at < 2; at++) assert.equal(await read(await httpFetch(url)), 'ok')
    assert.equal(sockets.length, 2)
  })
})

test('a server may answer before it has the whole request, whose connection is then closed', async () => {
  await serve(
    (socket) =>
      socket.once('data', () => {
        socket.pause()
        socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno')
      }),
    async (url, sockets) => {
      const response = await httpFetch(url, { method: 'POST', body: 'x'.repeat(50_000_000) })
      assert.equal(response.status, 413)
      assert.equal(await read(response), 'no')
      const [socket] = sockets as [net.Socket]
      const closed = once(socket, 'close')
      socket.resume()
      await closed
    },
  )
})

test('a header of Latin-1 keeps its bytes beside a body of UTF-8', async () => {
  const seen: string[] = []
  await serve(
    (socket) => {
      socket.on('data', (bytes) => {
        seen.push(bytes.toString('latin1'))
        if (seen.join('').endsWith('}')) socket.write(ok)
      })
    },
    async (url) => {
      await httpFetch(url, { method: 'POST', headers: { 'x-name': 'Zoë' }, body: '{"a":"ë"}' })
      const text = seen.join('')
      assert.match(text, /x-name: Zoë\r\n/)
      assert.match(text, /content-length: 10\r\n/)
      assert.ok(text.endsWith(Buffer.from('{"a":"ë"}').toString('latin1')))
    },
  )
})

test('a header that HTTP does not allow is an invalid request, and nothing is sent', async () => {
  await serve(answering(ok), async (baseURL, sockets) => {
    const llm = createLLM('openai', { model: 'm', apiKey: 'key-1', baseURL, headers: { 'x-name': 'a😀' } })
    await assert.rejects(llm.agenerate('Hi'), { code: 'invalid_request' })
    assert.equal(sockets.length, 0)
  })
})

/** Sends two requests to one TLS server, and tells which of them resumed a session. */
async function resumedBy(trust: (certificate: string) => () => void): Promise<boolean[]> {
  const fixture = (name: string) => readFileSync(`${import.meta.dirname}/../support/fixtures/${name}`, 'utf8')
  const resumed: boolean[] = []
  const options = { key: fixture('tls-key.pem'), cert: fixture('tls-certificate.pem') }
  const server = tls.createServer(options, (socket) => {
    resumed.push(socket.isSessionReused())
    socket.on('error', () => {}).once('data', () => socket.end(`HTTP/1.1 200 OK\r\n\r\nok`))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const restore = trust(options.cert)
  try {
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const init = { headers: { host: 'llm.example.test' } }
    for (let at = 0; at < 2; at++) assert.equal(await read(await httpFetch(url, init)), 'ok')
    return resumed
  } finally {
    restore()
    server.close()
  }
}

test('a second connection to a host resumes the TLS session of the first', async () => {
  const resumed = await resumedBy((certificate) => {
    const before = tls.getCACertificates('default')
    tls.setDefaultCACertificates([certificate])
    return () => tls.setDefaultCACertificates(before)
  })
  assert.deepEqual(resumed, [false, true])
})

test('a TLS session whose certificate was not checked is not resumed', async () => {
  const resumed = await resumedBy(() => {
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    return () => {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
    }
  })
  assert.deepEqual(resumed, [false, false])
})

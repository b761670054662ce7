/** No key is seen, in whatever form a vendor or a fetch quotes it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { createLLM } from 'convoke'
import type { LLMOptions } from 'convoke'
import { test } from 'vitest'
import { Secrets } from '../../src/transport/secrets.ts'

const key = 'sk-A/b+c_0123456789'

async function answered(
  status: number,
  body: string,
  act: (baseURL: string) => Promise<void>,
): Promise<void> {
  const server = http.createServer((request, response) => {
    request.resume()
    response.writeHead(status, { 'content-type': 'application/json', 'x-echo': key }).end(body)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  try {
    await act(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** Everything that a reader of an error could see. */
function seen(error: Error): string {
  return [
    error.message,
    error.stack,
    JSON.stringify(error),
    inspect(error, { depth: 20, showHidden: true }),
  ].join('\n')
}

async function errorOf(options: LLMOptions): Promise<Error> {
  const llm = createLLM('openai', { model: 'm', apiKey: key, retry: { attempts: 1 }, ...options })
  return llm.agenerate('Hi').then(
    () => assert.fail('no error'),
    (error: Error) => error,
  )
}

const forms: [name: string, text: string][] = [
  ['as it is', key],
  ['with escaped slashes', key.replaceAll('/', '\\/')],
  ['with escaped letters', key.replace('s', '\\u0073')],
  ['in a URL', encodeURIComponent(key)],
]

for (const [name, form] of forms) {
  test(`a key that is echoed ${name} shows in no error`, async () => {
    await answered(401, `{"error":{"message":"bad key ${form}","type":"x ${form}"}}`, async (baseURL) => {
      const shown = seen(await errorOf({ baseURL }))
      assert.ok(!shown.includes(key) && !shown.includes(form), shown)
    })
  })
}

test('a key that is the whole reply shows in no error', async () => {
  await answered(200, key, async (baseURL) => assert.ok(!seen(await errorOf({ baseURL })).includes(key)))
})

test('a key in a reply shows in no raw', async () => {
  const reply = { id: key, choices: [{ message: { content: 'Hi' }, finish_reason: 'stop' }] }
  await answered(200, JSON.stringify(reply), async (baseURL) => {
    const { raw, content } = await createLLM('openai', { model: 'm', apiKey: key, baseURL }).agenerate('Hi')
    assert.equal(content, 'Hi')
    assert.ok(!JSON.stringify(raw).includes(key))
  })
})

test('a key in an error inside a reply shows nowhere, wherever the server puts the error', async () => {
  const errors = [
    { error: { message: `bad ${key}` } },
    { object: 'error', message: `bad ${key}` },
    { x_groq: { error: { message: `bad ${key}` } } },
    { choices: [{ error: { message: `bad ${key}` }, finish_reason: 'error' }] },
  ]
  for (const body of errors) {
    await answered(200, JSON.stringify(body), async (baseURL) => {
      const error = await errorOf({ baseURL })
      assert.match(error.message, /bad \[redacted\]/)
      assert.ok(!seen(error).includes(key), seen(error))
    })
  }
})

test('an error of the user’s own fetch shows no key', async () => {
  const fetch = (_: unknown, init?: RequestInit) =>
    Promise.reject(Object.assign(new Error(`failed with ${key}`), { code: 'EOTHER', config: init }))
  const error = await errorOf({ baseURL: 'http://127.0.0.1:9/v1', fetch: fetch as typeof globalThis.fetch })
  assert.ok(!seen(error).includes(key), seen(error))
  assert.equal((error.cause as NodeJS.ErrnoException).code, 'EOTHER')
})

test('of many keys at once, each request hides its own', async () => {
  let next = 0
  await answered(401, '', async (baseURL) => {
    const echo: typeof globalThis.fetch = async (_input, init) => {
      const authorization = new Headers(init?.headers).get('authorization') ?? ''
      await new Promise((resolve) => setTimeout(resolve, 20))
      return new Response(JSON.stringify({ error: { message: `bad ${authorization}` } }), { status: 401 })
    }
    const llm = createLLM('openai', {
      model: 'm',
      apiKey: () => `sk-many-keys-${next++}-0123456789`,
      baseURL,
      fetch: echo,
      maxConcurrent: 200,
    })
    const errors = await Promise.all(
      Array.from({ length: 150 }, () => llm.agenerate('Hi').catch((error: Error) => error.message)),
    )
    for (const message of errors) assert.doesNotMatch(String(message), /sk-many/)
  })
})

test('short placeholders are no secrets: they would tear ordinary words', () => {
  const secrets = new Secrets()
  secrets.add('x')
  secrets.add('Bearer test')
  assert.equal(secrets.redact('a test of x'), 'a test of x')
})

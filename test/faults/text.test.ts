/** The text of a reply is complete, byte for byte, wherever the network cuts it. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'vitest'
import { serveRaw } from './serve.ts'
import { openLLM, plainOf, streamOf, streams, understand, vendors } from './vendors.ts'
import type { Vendor } from './vendors.ts'

/** Texts that have broken framings, parsers and decoders. */
const text = [
  '\uFEFFa BOM at the start, and one \uFEFF inside',
  '[DONE]\n[DONE] data: [DONE]\n\ndata: x\n\nevent: message_stop\n\n: no comment\n\nid: 1\nretry: 1',
  'CR\rLF\nCRLF\r\n NEL\u0085 VT\u000B FF\u000C LS\u2028 PS\u2029 end',
  'NUL\u0000 US\u001F DEL\u007F \u0080 \u00A0 ZWJ\u200D ZWNJ\u200C RLO\u202E \uFFFD \uFFFE',
  'e\u0301 and é, 각 and \u1100\u1161\u11A8, \u{1F468}\u200D\u{1F469}\u200D\u{1F467}, 𝒳 𠜎 \u{10FFFF} 😀',
  '"quotes" \\backslashes\\ \\u0041 </script> {"json":[1,{}]} `` \t tab',
  '  blanks at both ends  ',
].join('\n')

/** Whole lines, or pieces of random length. Some pieces split a surrogate pair, whose halves JSON escapes. */
function pieces(random: () => number, areLines: boolean): string[] {
  if (areLines) return text.split(/(?<=\n)/)
  const cut: string[] = []
  for (let at = 0; at < text.length;) {
    const length = 1 + Math.floor(random() * 6)
    cut.push(text.slice(at, at + length))
    at += length
  }
  return cut
}

/** A random generator with a seed, so that failures can be repeated. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

type Network = 'all at once' | 'random splits' | 'one byte at a time'
const networks: readonly Network[] = ['all at once', 'random splits', 'one byte at a time']

/** Sends a response, its head included, cut into the pieces of the test. */
async function deliver(socket: Socket, bytes: Buffer, network: Network, random: () => number): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed;) {
    const length =
      network === 'all at once'
        ? bytes.length
        : network === 'one byte at a time'
          ? 1
          : 1 + Math.floor(random() ** 3 * 200)
    socket.write(bytes.subarray(at, at + length))
    at += length
    // The reader uses the same event loop, so it reads each piece before the next one is sent.
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function responseOf(vendor: Vendor, isStream: boolean, areLines: boolean, random: () => number): Buffer {
  const body = Buffer.from(isStream ? streamOf(vendor, pieces(random, areLines)) : plainOf(vendor, text))
  const type = isStream ? streams[vendor].contentType : 'application/json'
  const head = `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), body])
}

for (const vendor of vendors) {
  test(`${vendor}: text comes through byte for byte, streamed and plain, whole and in splits`, async (t) => {
    let splits = 0
    let bytesSent = 0
    for (const [network, seeds] of [
      [networks[0], 3],
      [networks[1], 8],
      [networks[2], 2],
    ] as const) {
      for (let seed = 1; seed <= seeds; seed++) {
        const random = seeded(seed)
        await using server = await serveRaw((socket, request) => {
          const { isStream } = understand(request, request)
          const bytes = responseOf(vendor, isStream, seed === 1, random)
          bytesSent += bytes.length
          void deliver(socket, bytes, network as Network, random)
        })
        await using llm = openLLM(vendor, server.url, { retry: { attempts: 1 } })
        const label = `${network}, seed ${seed}`
        const stream = llm.stream('Hi')
        let seen = ''
        for await (const { content } of stream) seen += content
        assert.equal(seen, text, label)
        assert.equal((await stream.response).content, text, label)
        assert.equal((await llm.agenerate('Hi')).content, text, label)
        splits += 2
      }
    }
    await t.annotate(`${vendor}: ${splits} replies, ${bytesSent} bytes, every text equal`)
  })
}

/** A process that opens many streams of a simulator at once, and tells its parent how many came whole. */
import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { streamPaths } from './stream-paths.ts'

const [url = '', count = '0'] = process.argv.slice(2)
const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi' }] })

/** Whether the stream ended by its terminal event. */
async function isWhole(path: string): Promise<boolean> {
  const sending = request(url + path, { method: 'POST', agent: false })
  sending.end(body)
  const [reply] = (await once(sending, 'response')) as [IncomingMessage]
  let last = ''
  reply.on('data', (bytes: Buffer) => (last = bytes.toString()))
  await once(reply, 'end')
  return /\[DONE\]|message_stop|message-end|"done":true/.test(last)
}

const all = Array.from({ length: Number(count) }, (_, index) =>
  isWhole(streamPaths[index % streamPaths.length] ?? '').catch(() => false),
)
process.send?.((await Promise.all(all)).filter(Boolean).length)
process.disconnect()

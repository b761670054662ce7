/**
 * A process that uses a session until it is killed. It reports the text that arrived and the turns that were
 * acknowledged.
 */
import { createLLM, createSession, sqliteStore } from 'convoke'

const [url = '', path = '', durability = 'full', id = 's', atOnce = ''] = process.argv.slice(2)
const store = sqliteStore({ path, durability: durability as 'full' | 'normal' })
const llm = createLLM('anthropic/m', { apiKey: 'sk-0123456789', baseURL: url, retry: { attempts: 1 } })
const session = createSession(llm, { store, id })

if (atOnce) {
  const prompts = Array.from({ length: Number(atOnce) }, (_, turn) => `${process.pid} ${turn}`)
  await Promise.all(prompts.map((prompt) => session.agenerate(prompt)))
}
for (let turn = 0; !atOnce; turn++) {
  const prompt = `${process.pid} ${turn}`
  process.send?.({ began: prompt, atMs: Date.now() })
  for await (const { content } of session.stream(prompt)) {
    if (content) process.send?.({ heard: content, atMs: Date.now() })
  }
  process.send?.({ kept: prompt })
}
await session.close()
await store.close()
process.disconnect()

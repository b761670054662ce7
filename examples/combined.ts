/** LLMs made of LLMs: a fallback, a hedge, calls spread over two, and a cache around them. Each is an LLM again. */
import { balance, cached, createLLM, fallback, hedge } from 'convoke'

const gpt = createLLM('openai/gpt-4o-mini')
const claude = createLLM('anthropic/claude-haiku-4-5')
// Nobody listens there.
const down = createLLM('lmstudio', { model: 'any', baseURL: 'http://127.0.0.1:9/v1', retry: { attempts: 1 } })

const safe = fallback([down, gpt])
const { provider, content, otherAttempts: lost } = await safe.agenerate('What is the capital of France?')
console.log(`${provider}: ${content}`)
for (const member of lost ?? []) console.log(`before it: ${member.provider}, ${member.code}`)

const quick = hedge([claude, gpt], { afterMs: 3_000 })
for await (const chunk of quick.stream('Tell me a story.')) process.stdout.write(chunk.content)
console.log()

const spread = balance([gpt, claude], { strategy: 'round-robin' })
for (let call = 1; call <= 3; call++)
  console.log(`call ${call}:`, (await spread.agenerate('Hello!')).provider)

// Any store of Keyv's will do, and so does a Map.
const thrifty = cached(fallback([spread, safe]), new Map(), { ttlMs: 60_000 })
for (let call = 1; call <= 2; call++) {
  const { fromCache = false, costUsd } = await thrifty.agenerate('What is the capital of France?')
  console.log(fromCache ? `out of the cache, for ${costUsd} dollars` : 'asked')
}

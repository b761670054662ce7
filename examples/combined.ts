/** Combined LLMs: a fallback, a hedge, balanced calls and a cache. Each of them is an LLM again. */
import { balance, cached, createLLM, fallback, hedge } from 'convoke'

const gpt = createLLM('openai/gpt-4o-mini')
const claude = createLLM('anthropic/claude-haiku-4-5')
// No server listens at this address.
const down = createLLM('lmstudio', { model: 'any', baseURL: 'http://127.0.0.1:9/v1', retry: { attempts: 1 } })

const safe = fallback([down, gpt])
const { provider, content, otherAttempts } = await safe.agenerate('What is the capital of France?')
console.log(`${provider}: ${content}`)
for (const attempt of otherAttempts ?? []) console.log(`failed before: ${attempt.provider}, ${attempt.code}`)

const quick = hedge([claude, gpt], { afterMs: 3_000 })
for await (const chunk of quick.stream('Tell me a story.')) process.stdout.write(chunk.content)
console.log()

const spread = balance([gpt, claude], { strategy: 'round-robin' })
for (let call = 1; call <= 3; call++)
  console.log(`call ${call}:`, (await spread.agenerate('Hello!')).provider)

// The store can be a Map, or any store of Keyv.
const thrifty = cached(fallback([spread, safe]), new Map(), { ttlMs: 60_000 })
for (let call = 1; call <= 2; call++) {
  const { fromCache = false, costUsd } = await thrifty.agenerate('What is the capital of France?')
  console.log(fromCache ? `from the cache, for ${costUsd} dollars` : 'from a model')
}

/** Consensus: several models answer one question. It ends as soon as no further answer can change the result. */
import { consensus, createLLM, fanOut } from 'convoke'

const llms = {
  gpt: createLLM('openai/gpt-4o-mini'),
  claude: createLLM('anthropic/claude-haiku-4-5'),
  gemini: createLLM('gemini/gemini-2.5-flash'),
}
const results = await fanOut(llms, 'What is the capital of France?', { timeoutMs: 20_000 })
for (const { key, response, error } of Object.values(results)) {
  console.log(`${key}: ${response?.content ?? error?.code}`)
}

const run = consensus(llms, 'Is 97 a prime number?', { choices: ['yes', 'no'], timeoutMs: 20_000 })
for await (const event of run) {
  if (event.type === 'vote') console.log(`${event.member} votes ${event.answer}`)
}
const { status, answer, agreement, votes, failures } = await run
console.log(`${status}: ${answer} (${(agreement * 100).toFixed(0)} %)`)
console.log(`${votes.length} voted, ${failures.length} failed`)

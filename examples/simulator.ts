/** The simulator in your own tests: a local server with the vendors' protocols, scripted replies and faults. */
import OpenAI from 'openai'
import { startSimulator } from 'convoke/simulator'

const simulator = await startSimulator({
  reply: ({ prompt }) => ({ text: `You said: ${prompt}`, chunkSize: 3 }),
})
const client = new OpenAI({ apiKey: 'any', baseURL: simulator.baseURL('openai'), maxRetries: 2 })

// The first request fails, and the SDK retries it.
simulator.failNext({ status: 503, retryAfter: 0 })
const completion = await client.chat.completions.create({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Hi' }],
})
console.log(completion.choices[0]?.message.content)
console.log(simulator.requests.map(({ path, status }) => `${path} ${status}`).join(', '))
await simulator.close()

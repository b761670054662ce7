/** A client that prints everything it gets: `keys-client.ts URL ECHO…`, with the key in the environment. */
import { inspect } from 'node:util'
import { openLLM, vendors } from './vendors.ts'

const [url = '', ...echoes] = process.argv.slice(2)
const apiKey = process.env['CAMPAIGN_KEY'] ?? ''
delete process.env['CAMPAIGN_KEY']

for (const vendor of vendors) {
  const llm = openLLM(vendor, url, { apiKey, retry: { attempts: 2, minDelayMs: 1, maxDelayMs: 5 } })
  for (const echo of echoes) {
    for (const call of [llm.agenerate(echo), llm.stream(echo).response]) {
      const outcome: unknown = await call.catch((error: unknown) => error)
      console.log(vendor, echo, outcome)
      console.error(inspect(outcome, { depth: 10, showHidden: true }))
    }
  }
  console.log(inspect(llm, { depth: 10, showHidden: true }))
}

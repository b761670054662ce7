/** Shows convoke in ten seconds: `npm run demo`, or `npm run demo -- --live` with keys in the environment. */
import { isConvokeError } from 'convoke'
import type { GenerateResponse, LLM } from 'convoke'
import type { Simulator } from 'convoke/simulator'
import { live, simulated } from './vendors.ts'
import { Board, note, paint, print, step, table } from './view.ts'

const question = 'Is 97 a prime number? Answer in one sentence.'
const limits = { timeouts: { firstChunkMs: 8_000, totalMs: 10_000 } }

const { llms, simulator, description } = await (process.argv.includes('--live') ? live() : simulated())
print(
  paint(['bold', 'cyan'], 'convoke') +
    paint('dim', `  ${llms.length} vendors, one facade, over ${description}`),
)
if (llms.length === 0) {
  print('No vendor is available. Set a key such as OPENAI_API_KEY, or leave out --live.')
  process.exit(1)
}
const replies = await askAll(llms)
await streamOne(llms[0] as LLM)
if (simulator) {
  await showRetry(llms[0] as LLM, simulator)
  await showTruncation(llms[1] as LLM, simulator)
}
await showCancel(llms.at(-1) as LLM, simulator)
summary(replies)
await Promise.all(llms.map((llm) => llm.close()))
await simulator?.close()

/** Asks all vendors at once, with one loop for each, all on one event loop. */
async function askAll(all: readonly LLM[]): Promise<[LLM, GenerateResponse | undefined][]> {
  step(`Ask ${all.length} vendors at once: ${question}`)
  const board = new Board(all.map((llm) => llm.provider))
  return Promise.all(all.map(async (llm, row) => [llm, await askOne(llm, row, board)] as const)).then(
    (rows) => rows.map(([llm, reply]) => [llm, reply]),
  )
}

async function askOne(llm: LLM, row: number, board: Board): Promise<GenerateResponse | undefined> {
  const name = paint('cyan', llm.provider.padEnd(10))
  const stream = llm.stream(question, limits)
  try {
    let text = ''
    for await (const piece of stream.text) board.set(row, `${name} ${(text += piece)}${paint('yellow', '▌')}`)
    board.finish(row, `${name} ${text} ${paint('green', '✓')}`)
    return await stream.response
  } catch (error) {
    board.finish(row, `${name} ${paint('red', `✗ ${isConvokeError(error) ? error.code : String(error)}`)}`)
    return undefined
  }
}

async function streamOne(llm: LLM): Promise<void> {
  step(`Stream an answer live (${llm.provider})`)
  for await (const piece of llm.stream('Tell me a very short story.', limits).text)
    process.stdout.write(piece)
  print()
}

async function showRetry(llm: LLM, vendor: Simulator): Promise<void> {
  step('A rate limit: the vendor says 429 and Retry-After: 1')
  vendor.failNext({ status: 429, retryAfter: '1' })
  const startedAt = performance.now()
  const reply = await llm.agenerate(question, limits)
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  print(
    `${paint('green', '✓')} answered on attempt ${reply.timing.attempts}, after ${seconds} s (the vendor asked for 1)`,
  )
}

async function showTruncation(llm: LLM, vendor: Simulator): Promise<void> {
  step(`A connection that ends early, without any error (${llm.provider})`)
  vendor.failNext({ endAfter: 0.6 })
  try {
    await llm.stream(question, limits).response.then(() => print('no error, which must not happen'))
  } catch (error) {
    if (!isConvokeError(error)) throw error
    print(`${paint('green', '✓')} caught as ${paint('yellow', error.code)}, with the text that had arrived:`)
    note(`  "${error.partial?.content ?? ''}"`)
  }
}

async function showCancel(llm: LLM, vendor: Simulator | undefined): Promise<void> {
  step(`Leave the loop: the request is cancelled and its socket closed (${llm.provider})`)
  let pieces = 0
  const stream = llm.stream('Tell me a very short story.', limits)
  for await (const { content } of stream) if (content && ++pieces === 5) break
  const leftAt = performance.now()
  const { usage } = await stream.response.then(
    (reply) => reply,
    (error) => error.partial as GenerateResponse,
  )
  const request = vendor?.requests.at(-1)
  while (request?.outcome === 'open' && performance.now() - leftAt < 1_000)
    await new Promise((go) => setTimeout(go, 1))
  const closed = vendor ? `; the vendor noticed it ${(performance.now() - leftAt).toFixed(0)} ms later` : ''
  print(
    `${paint('green', '✓')} left after ${pieces} pieces${closed}; usage so far: ${usage.totalTokens} tokens (${usage.source})`,
  )
}

function summary(rows: readonly [LLM, GenerateResponse | undefined][]): void {
  step('The answers of step 1 in figures')
  table(
    ['vendor', 'model', 'first chunk ms', 'total ms', 'tokens in/out', 'finish reason'],
    rows.map(([{ provider, model = '' }, reply]) =>
      reply
        ? [
            provider,
            reply.model,
            reply.timing.firstChunkMs.toFixed(0),
            reply.timing.totalMs.toFixed(0),
            `${reply.usage.inputTokens}/${reply.usage.outputTokens}`,
            reply.finishReason,
          ]
        : [provider, model, '-', '-', '-', 'failed'],
    ),
  )
}

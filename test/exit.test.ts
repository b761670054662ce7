/** A script that closes nothing still ends, whatever its calls met. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startSimulator } from 'convoke/simulator'

const run = promisify(execFile)

const script = `
  import { createLLM } from 'convoke'
  const [name, baseURL] = process.argv.slice(1)
  const llm = createLLM(name, { model: 'm', apiKey: 'sk-0123456789', baseURL, retry: { attempts: 1 } })
  const code = (promise) => promise.then(() => 'ok', (error) => error.code)
  const seen = []
  seen.push(await code(llm.agenerate('Hi')))
  for await (const { content } of llm.stream('Hi')) if (content) break
  seen.push(await code(llm.stream('stall', { timeouts: { idleMs: 50 } }).response))
  seen.push(await code(llm.stream('cut').response))
  seen.push(await code(llm.agenerate('slow', { timeouts: { totalMs: 50 } })))
  seen.push(await code(llm.agenerate('slow', { signal: AbortSignal.timeout(50) })))
  const nowhere = createLLM(name, { model: 'm', apiKey: 'sk-0123456789', baseURL: 'http://127.0.0.1:9', retry: { attempts: 1 } })
  seen.push(await code(nowhere.agenerate('Hi')))
  seen.push(await code(nowhere.stream('Hi').response))
  void llm.stream('Hi')
  console.log(seen.join())
`

for (const name of ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']) {
  test(`a script that calls ${name} and closes nothing ends by itself, and prints nothing of its own`, async () => {
    await using simulator = await startSimulator({
      reply: ({ prompt }) => ({
        text: 'A reply of some length, so that it can break in the middle.',
        paceMs: 2,
        ...(prompt === 'stall' ? { fault: { stallAfter: 0.5 } } : {}),
        ...(prompt === 'cut' ? { fault: { cutAfter: 0.5 } } : {}),
        ...(prompt === 'slow' ? { latencyMs: 20_000 } : {}),
      }),
    })
    const options = [
      '--conditions=convoke-source',
      '--unhandled-rejections=strict',
      '--input-type=module',
      '-e',
      script,
    ]
    const { stdout, stderr } = await run(process.execPath, [...options, name, simulator.baseURL(name)], {
      timeout: 10_000,
    })
    assert.equal(stderr, '')
    assert.equal(stdout, 'ok,timeout,stream_truncated,timeout,cancelled,connection,connection\n')
  })
}

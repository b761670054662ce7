/** The thread behind generate(): what becomes of a call when it hangs or dies, and where it runs. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startSimulator } from 'convoke/simulator'
import type { Reply, Simulator } from 'convoke/simulator'
import { afterAll, beforeAll, test } from 'vitest'
import { cells } from '../../src/blocking/protocol.ts'

const source = '--conditions=convoke-source'
const strict = '--unhandled-rejections=strict'
const breaker = `--import=${join(import.meta.dirname, '../support/blocking-breaker.ts')}`
let simulator: Simulator

/** Replies by their prompts. */
const replies: Record<string, Reply> = {
  half: { chunks: ['one ', 'two'], paceMs: 3_600_000 },
  slow: { text: 'x', latencyMs: 60_000 },
  paced: { chunks: ['a', 'b', 'c', 'd', 'e'], paceMs: 150 },
  long: { chunks: Array.from({ length: 30 }, () => 'x'.repeat(10_000)) },
  '{}': '{}',
}
beforeAll(async () => {
  simulator = await startSimulator({ reply: ({ prompt }) => replies[prompt] ?? `You said: ${prompt}` })
})
afterAll(() => simulator.close())

/** The beginning of every script. */
const preamble = () => `
import { createLLM } from 'convoke'
const baseURL = ${JSON.stringify(simulator.baseURL('openai'))}
const llm = createLLM('openai', { apiKey: 'key', baseURL, model: 'gpt-4o-mini', retry: { attempts: 1 } })
const say = (...words) => process.stdout.write(words.join(' ') + '\\n')
const ask = (prompt, options) => {
  try { say(llm.generate(prompt, options).content) } catch (error) { say(error.code, error.phase ?? '') }
}
`

/** The same for where a line is a script, and no module. */
const oneLiner = () =>
  preamble()
    .replaceAll('\n', ';')
    .replace(`import { createLLM } from`, `const { createLLM } = require(`)
    .replace(`'convoke';`, `'convoke');`)

interface Ending {
  lines: string[]
  code: number | null
  signal: NodeJS.Signals | null
  errors: string
}

/** Runs a script that comes by the standard input, as a heredoc does. */
async function run(script: string, options: string[] = [], act?: (pid: number) => void): Promise<Ending> {
  const child = spawn(process.execPath, [source, strict, ...options, '--input-type=module'], {
    cwd: import.meta.dirname,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  child.stdout.on('data', (data) => {
    output += String(data)
    if (act && output.includes('ready')) act(child.pid as number)
  })
  child.stderr.on('data', (data) => (errors += String(data)))
  child.stdin.end(preamble() + script)
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { lines: output.trim().split('\n'), code, signal, errors }
}

test('a script that blocks ends by itself, with nothing on its error output', async () => {
  const { lines, code, errors } = await run(
    `ask('one'); for (const { content } of llm.generate('two', { stream: true })) if (content) say(content); llm.generate('three', { stream: true })`,
  )
  assert.equal(code, 0)
  assert.equal(errors, '')
  assert.deepEqual([lines[0], lines.slice(1).join('')], ['You said: one', 'You said: two'])
})

for (const way of ['exit', 'throw', 'reject', 'memory']) {
  test(`a thread that dies (${way}) is worker_lost, and the next call has a new one`, async () => {
    const heap = way === 'memory' ? ['--max-old-space-size=80'] : []
    const script = `
      ask('before')
      const open = llm.generate('slow', { stream: true })
      ask(${JSON.stringify(way)})
      try { open.next() } catch (error) { say('open', error.code) }
      ask('after')`
    const { lines, code, errors } = await run(script, [breaker, ...heap])
    assert.deepEqual(
      lines,
      ['You said: before', 'worker_lost ', 'open worker_lost', 'You said: after'],
      errors,
    )
    assert.equal(code, 0, errors)
  })
}

test('a stream whose thread dies tells what had come, by whom, and about what it cost', async () => {
  const script = `
    ask('before')
    const half = llm.generate('half', { stream: true })
    while (half.next().value.content !== 'one ');
    ask('exit')
    try { half.next() } catch ({ code, provider, model, partial, message }) {
      const { content, usage, finishReason } = partial
      say(code, provider, model, content, usage.source, usage.inputTokens > 0, usage.outputTokens > 0, finishReason)
      say(message.startsWith('[openai] '))
    }`
  const { lines, errors } = await run(script, [breaker])
  const told = 'worker_lost openai gpt-4o-mini one  estimated true true error'
  // The breaker listens a moment behind the thread's start.
  assert.deepEqual(lines.slice(-3), ['worker_lost ', told, 'true'], errors)
})

for (const side of ['generate', 'agenerate']) {
  test(`a session's turn whose thread died is interrupted, and ${side}() does not wait for it`, async () => {
    const script = `
      import { createSession } from 'convoke'
      const session = createSession(llm, { id: 'alice' })
      session.generate('before')
      await session.agenerate('on the other side')
      const half = session.generate('half', { stream: true })
      while (half.next().value.content !== 'one ');
      ask('exit')
      const startedAt = performance.now()
      const { content } = await session.${side}('after')
      // A turn whose writer is not known to be dead holds its session for the 20 s of silence.
      say(content, performance.now() - startedAt < 15_000)
      say((await session.history()).map(({ status }) => status).join())
      await session.close()`
    const { lines, errors } = await run(script, [breaker])
    const statuses = 'complete,complete,complete,complete,complete,interrupted,complete,complete'
    assert.deepEqual(lines, ['worker_lost ', 'You said: after true', statuses], errors)
  })
}

test('a thread that died between two calls is replaced unseen', async () => {
  const script = `ask('before'); ask('exit later')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    ask('after')`
  const { lines } = await run(script, [breaker])
  assert.deepEqual(lines, ['You said: before', 'You said: exit later', 'You said: after'])
})

test('a thread that died is known, whoever has the number of its descriptor now', async () => {
  const script = `ask('before'); ask('exit later')
    const { openSync } = process.getBuiltinModule('node:fs')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    for (let opened = 0; opened < 50; opened++) openSync('/dev/null', 'r')
    ask('after', { timeouts: { totalMs: 1_000 } })`
  const { lines } = await run(script, [breaker])
  assert.deepEqual(lines, ['You said: before', 'You said: exit later', 'You said: after'])
})

test('a stream that nobody has any more is cancelled, and its text is kept by nobody', async () => {
  const script = `
    import { setTimeout } from 'node:timers/promises'
    const rest = async () => { for (let round = 0; round < 3; round++) { globalThis.gc(); await setTimeout(10) } }
    const drop = (prompt) => void llm.generate(prompt, { stream: true }).next()
    drop('long')
    await rest()
    const before = process.memoryUsage().heapUsed
    for (let dropped = 0; dropped < 100; dropped++) { drop('long'); if (dropped % 10 === 9) await rest() }
    drop('half')
    ask('after')
    await rest()
    const grownMb = (process.memoryUsage().heapUsed - before) / 2 ** 20
    say(grownMb < 8 || grownMb)
    say('ready')
    await setTimeout(500)`
  let openStreams = Infinity
  const watch = () => setTimeout(() => (openStreams = simulator.openStreams), 300)
  const { lines, errors } = await run(script, ['--expose-gc'], watch)
  assert.deepEqual(lines, ['You said: after', 'true', 'ready'], errors)
  assert.equal(openStreams, 0)
})

/** Code that runs in the blocking thread before anything of convoke. */
const inThread = (code: string) =>
  `--import=data:text/javascript,${encodeURIComponent(`import { isMainThread, workerData } from 'node:worker_threads'; if (!isMainThread) { ${code} }`)}`

test('a thread that cannot start is worker_lost at once', async () => {
  // A silent thread would be `timeout`, seconds later.
  const { lines } = await run(`ask('one'); ask('two')`, [inThread(`throw new Error('It does not load.')`)])
  assert.deepEqual(lines, ['worker_lost ', 'worker_lost'])
})

test('a host that refuses at each of its addresses is told with all of them, on both sides', async () => {
  const resolver = `import dns from 'node:dns'
    const addresses = [{ address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }]
    dns.lookup = (host, options, callback) => callback(null, addresses)`
  const script = `
    const nobody = createLLM('ollama', { baseURL: 'http://two.test:1', model: 'llama3.2', retry: { attempts: 1 } })
    const tell = ({ message, cause }) => say(message, cause instanceof AggregateError, cause.code, ...cause.errors)
    await nobody.agenerate('Hi').catch(tell)
    try { nobody.generate('Hi') } catch (error) { tell(error) }`
  const { lines, errors } = await run(script, [
    `--import=data:text/javascript,${encodeURIComponent(resolver)}`,
  ])
  const both = ['connect ECONNREFUSED ::1:1', 'connect ECONNREFUSED 127.0.0.1:1']
  const message = `[ollama] The connection failed: ${both.join('; ')}. Is the server of this baseURL running, or the proxy on the way to it?`
  const told = `${message} true ECONNREFUSED Error: ${both.join(' Error: ')}`
  assert.deepEqual(lines, [told, told], errors)
})

test('a process that may have no threads is told so', async () => {
  const { lines } = await run(`ask('one')`, ['--permission', '--allow-fs-read=*'])
  assert.deepEqual(lines, ['blocking_unavailable'])
})

test('a thread may take its time to start, however short the call', async () => {
  // Between the thread's sign of life and its first look at the call.
  const busy = `const { store } = Atomics
    Atomics.store = (memory, cell, value) => {
      store(memory, cell, value)
      if (memory[${cells.livenessDescriptor}]) for (const end = Date.now() + 5_000; Date.now() < end;);
    }`
  const { lines } = await run(`ask('one', { timeouts: { totalMs: 3_000 } })`, [inThread(busy)])
  assert.deepEqual(lines, ['You said: one'])
})

test('an LLM or a session that nobody else has lives as long as its stream', async () => {
  const script = `
    import { createSession } from 'convoke'
    import { setTimeout } from 'node:timers/promises'
    const fresh = () => createLLM('openai', { apiKey: 'key', baseURL, model: 'gpt-4o-mini' })
    const streams = [fresh(), createSession(fresh())].map((owner) => owner.generate('paced', { stream: true }))
    for (const stream of streams) stream.next()
    for (let round = 0; round < 10; round++) { globalThis.gc(); await setTimeout(20) }
    for (const stream of streams) say(stream.response.finishReason)`
  const { lines, errors } = await run(script, ['--expose-gc'])
  assert.deepEqual(lines, ['stop', 'stop'], errors)
})

test('a thread that hangs is timeout, soon behind the limit of the call, and is replaced', async () => {
  const script = `
    ask('before')
    try { llm.generate('loop', { timeouts: { totalMs: 500 } }) } catch ({ code, phase, message }) {
      const [, silentMs] = /no sign of life for (\\d+) ms/.exec(message)
      // Any call whose thread is silent for 30 s ends; this one has a limit of its own.
      say(code, phase, silentMs < 30_000)
    }
    ask('after')`
  const { lines, code } = await run(script, [breaker])
  assert.deepEqual(lines, ['You said: before', 'timeout total true', 'You said: after'])
  assert.equal(code, 0)
})

test('a call that a living thread does not end is timeout all the same, and the next one works', async () => {
  const deaf = inThread(`AbortController.prototype.abort = () => {}`)
  const { lines } = await run(`ask('before'); ask('slow', { timeouts: { totalMs: 100 } }); ask('after')`, [
    deaf,
  ])
  assert.deepEqual(lines, ['You said: before', 'timeout total', 'You said: after'])
})

test('Ctrl-C ends a process that blocks', async () => {
  const { signal } = await run(`say('ready'); ask('slow')`, [], (pid) =>
    setTimeout(() => process.kill(pid, 'SIGINT'), 500),
  )
  assert.equal(signal, 'SIGINT')
})

test('it blocks a thread of the user\u2019s own as well, while others go on', async () => {
  const inner = `${oneLiner()}
    const { parentPort } = require('node:worker_threads')
    const told = [llm.generate('inside').content]
    for (const { content } of llm.generate('a stream', { stream: true })) if (content) told.push(content)
    parentPort.postMessage(told.join('|'))`
  const { lines, code, errors } = await run(`
    import { Worker } from 'node:worker_threads'
    const worker = new Worker(${JSON.stringify(inner)}, { eval: true, execArgv: ['${source}'] })
    let ticks = 0
    const timer = setInterval(() => ticks++, 5)
    worker.on('message', (told) => { clearInterval(timer); say(told, ticks > 5) })`)
  assert.equal(code, 0, errors)
  assert.match(lines[0] ?? '', /^You said: inside\|.*true$/)
})

test('it works in node -e and in the REPL', async () => {
  const child = spawn(process.execPath, [source, '-e', `${oneLiner()}; ask('eval')`], {
    cwd: import.meta.dirname,
  })
  let output = ''
  child.stdout.on('data', (data) => (output += String(data)))
  await once(child, 'close')
  assert.equal(output, 'You said: eval\n')
  const repl = spawn(process.execPath, [source, '-i'], { cwd: import.meta.dirname })
  let shown = ''
  repl.stdout.on('data', (data) => (shown += String(data)))
  repl.stdin.end(`${oneLiner()}; ask('repl')\n.exit\n`)
  await once(repl, 'close')
  assert.match(shown, /You said: repl/)
})

test('Ctrl-C in the REPL cancels the call that it interrupts', async (t) => {
  const repl = spawn(process.execPath, [source, '-i'], { cwd: import.meta.dirname })
  t.onTestFinished(() => void repl.kill('SIGKILL'))
  let shown = ''
  repl.stdout.on('data', (data) => (shown += String(data)))
  repl.stderr.on('data', (data) => (shown += String(data)))
  const until = async (words: RegExp) => {
    for (const end = performance.now() + 10_000; !words.test(shown); await pause(20))
      assert.ok(performance.now() < end, shown)
  }
  const script = oneLiner().replace('retry:', 'maxConcurrent: 1, retry:')
  repl.stdin.write(`${script}; say('rea' + 'dy')\n`)
  await until(/ready/)
  repl.stdin.write(`ask('slow')\n`)
  await pause(700)
  repl.kill('SIGINT')
  await until(/interrupted/)
  repl.stdin.write(`ask('again')\n`)
  await until(/You said: again/)
  const schema = `{ '~standard': { version: 1, vendor: 'v', validate() { say('jud' + 'ging'); for (;;); },
    jsonSchema: { input: () => ({ type: 'object' }), output: () => ({ type: 'object' }) } } }`
  repl.stdin.write(`ask('{}', { schema: ${schema.replace('\n', '')} })\n`)
  await until(/judging/)
  repl.kill('SIGINT')
  await until(/interrupted[^]*interrupted/)
  repl.stdin.write(`ask('behind it')\n`)
  await until(/You said: behind it/)
  repl.stdin.end('.exit\n')
  await once(repl, 'close')
})

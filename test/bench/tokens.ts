/**
 * Measures token counting alone: `node --conditions=convoke-source test/bench/tokens.ts`, for about ten seconds. It prints
 * the speed compared with gpt-tokenizer on texts that neither has seen before, the time for one long run, the delay of the
 * event loop while 10 MB are counted, the memory of a thread, and the times of the calling thread and of the pool.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { countTokens } from '../../src/tokens/count-tokens.ts'
import { countTokens as theirCount } from 'gpt-tokenizer/encoding/o200k_base'
import { Tokenizer } from '../../src/tokens/bpe/tokenizer.ts'
import { loadMergeTable } from '../../src/tokens/bpe/vocabulary.ts'

const packages = resolve(import.meta.dirname, '../../node_modules')
const model = 'gpt-4o'

/** Texts of the installed packages, joined into one flat string. */
function gathered(pattern: RegExp, units: number): string {
  let text = ''
  for (const entry of readdirSync(packages, { recursive: true, withFileTypes: true })) {
    if (text.length > units) break
    if (entry.isFile() && pattern.test(entry.name)) text += readFileSync(join(entry.parentPath, entry.name))
  }
  return Buffer.from(text.slice(0, units)).toString()
}

/** The compiler's messages in Chinese, Japanese and Korean. */
function eastAsian(): string {
  const texts = ['zh-cn', 'ja', 'ko', 'zh-tw'].map((language) => {
    const file = join(packages, `typescript/lib/${language}/diagnosticMessages.generated.json`)
    return Object.values(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>).join('\n')
  })
  return Buffer.from(texts.join('\n')).toString()
}

function timed(run: () => unknown): number {
  const start = performance.now()
  run()
  return performance.now() - start
}

const corpora = {
  prose: gathered(/\.md$/i, 3_000_000),
  code: gathered(/\.[cm]?js$/, 3_000_000),
  cjk: eastAsian(),
}

function speed(): void {
  const loadMs = timed(() => loadMergeTable('o200k_base'))
  const table = loadMergeTable('o200k_base')
  console.log(`table: ${loadMs.toFixed(0)} ms, ${(table.memory.byteLength / 1e6).toFixed(1)} MB`)
  const tokenizer = new Tokenizer('o200k_base', table)
  const theirs = (text: string) => theirCount(text, { disallowedSpecial: new Set() })
  for (const text of Object.values(corpora)) {
    const warm = text.slice(0, text.length / 3)
    if (tokenizer.count(warm) !== theirs(warm)) console.log('the counts differ')
  }
  for (const [name, text] of Object.entries(corpora)) {
    const unseen = text.slice(text.length / 3)
    const megabytes = Buffer.byteLength(unseen) / 1e6
    const ours = megabytes / timed(() => tokenizer.count(unseen))
    const other = megabytes / timed(() => theirs(unseen))
    const figures = [ours * 1e3, other * 1e3].map((value) => value.toFixed(1)).join(' against ')
    console.log(`${name}: ${figures} MB/s, ${(ours / other).toFixed(1)} times`)
  }
  for (const [name, unit] of Object.entries({ letter: 'a', space: ' ', joined: '👩\u200d' })) {
    const [one, two] = [1e6, 2e6]
      .map((units) => unit.repeat(units / unit.length))
      .map((text) => timed(() => tokenizer.count(text)))
    console.log(`1 MB of ${name}: ${one?.toFixed(0)} ms, 2 MB ${two?.toFixed(0)} ms`)
  }
}

async function eventLoop(): Promise<void> {
  const text = (corpora.prose + corpora.code).repeat(2).slice(0, 10_000_000)
  const flat = Buffer.from(text).toString()
  await countTokens(flat.slice(0, 200_000), { model })
  const many = Array.from({ length: 10_000 }, (_, index) => flat.slice(index * 500, index * 500 + 500))
  const tokenizer = new Tokenizer('o200k_base', loadMergeTable('o200k_base'))
  const runs = {
    'inline, 10 MB': () => Promise.resolve(tokenizer.count(flat)),
    'one of 10 MB': () => countTokens(flat, { model }),
    'estimated, 10 MB': () => countTokens(flat, { model: 'claude-haiku-4-5' }),
    '10 000 of 500': () => Promise.all(many.map((piece) => countTokens(piece, { model }))),
    '10 MB of a letter': () => countTokens('a'.repeat(10_000_000), { model }),
  }
  for (const [name, run] of Object.entries(runs)) {
    const histogram = monitorEventLoopDelay({ resolution: 1 })
    histogram.enable()
    // The histogram does not record its first interval.
    await delay(20)
    const start = performance.now()
    await run()
    const ms = performance.now() - start
    await delay(5)
    histogram.disable()
    const figures = [histogram.percentile(99), histogram.max].map((ns) => (ns / 1e6).toFixed(1))
    console.log(`${name}: ${ms.toFixed(0)} ms, event loop p99 ${figures[0]} ms, max ${figures[1]} ms`)
  }
}

async function border(): Promise<void> {
  const { countTexts } = await import('../../src/tokens/counter.ts')
  const tokenizer = new Tokenizer('o200k_base', loadMergeTable('o200k_base'))
  for (const units of [1_000, 2_000, 4_000, 8_000, 16_000]) {
    const inline: number[] = []
    const pooled: number[] = []
    for (let index = 0; index < 60; index++) {
      const text = corpora.prose.slice(index * units, index * units + units)
      inline.push(timed(() => tokenizer.count(text)))
      // Uses up the units of this iteration for the calling thread, so that the next text goes to the pool.
      void countTexts([corpora.code.slice(0, 4_096)], 'o200k_base')
      const start = performance.now()
      await countTexts([text], 'o200k_base')
      pooled.push(performance.now() - start)
      await delay(2)
    }
    const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]?.toFixed(2)
    console.log(`${units} characters: ${median(inline)} ms inline, ${median(pooled)} ms by the pool`)
  }
}

/** The memory of a counting thread, compared with a thread that does nothing. */
async function memory(): Promise<void> {
  const table = loadMergeTable('o200k_base').memory
  const texts = [corpora.code.slice(0, 300_000)]
  const root = import.meta.dirname
  const code = `
    const { parentPort } = require('node:worker_threads')
    parentPort.on('message', async ({ file, task }) => {
      if (file) (await import(file)).default(task)
      parentPort.postMessage(0)
    })`
  const measure = async (file: string | undefined) => {
    const sizes: number[] = []
    const workers: Worker[] = []
    for (let index = 0; index < 4; index++) {
      const worker = new Worker(code, { eval: true })
      workers.push(worker)
      worker.postMessage({ file, task: { vocabulary: 'o200k_base', table, texts } })
      await new Promise((done) => worker.once('message', done))
      sizes.push(process.memoryUsage.rss() / 1e6)
    }
    await Promise.all(workers.map((worker) => worker.terminate()))
    return ((sizes.at(-1) as number) - (sizes[0] as number)) / 3
  }
  const empty = await measure(undefined)
  const counting = await measure(resolve(root, '../../workers/tokenize.ts'))
  console.log(`a further thread: ${counting.toFixed(0)} MB; one that does nothing ${empty.toFixed(0)} MB`)
}

speed()
await eventLoop()
await border()
await memory()

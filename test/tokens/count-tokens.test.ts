/** Token counts equal tiktoken's, in time proportional to the text, on the calling thread and in worker threads. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { countTokens, createLLM } from 'convoke'
import type { Message, Prompt } from 'convoke'
import { get_encoding } from 'tiktoken'
import { test } from 'vitest'
import { countTexts } from '../../src/tokens/counter.ts'
import { encodingOf } from '../../src/tokens/bpe/encodings.ts'
import { PreTokenizer } from '../../src/tokens/bpe/pre-tokenizer.ts'
import { Slices } from '../../src/tokens/bpe/slices.ts'
import { Tokenizer } from '../../src/tokens/bpe/tokenizer.ts'
import { loadMergeTable } from '../../src/tokens/bpe/vocabulary.ts'

const encodings = ['o200k_base', 'cl100k_base'] as const
const loaded = new Map(
  encodings.map((encoding) => [encoding, new Tokenizer(encoding, loadMergeTable(encoding))]),
)
const tokenizer = (encoding: (typeof encodings)[number]) => loaded.get(encoding) as Tokenizer

/** Mulberry32, a seeded generator, so that every run has the same texts. */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const characters: Record<string, readonly string[]> = {
  ascii: [...'abcXYZ  \n\t.,/\'"-_=+()<>0123456789'],
  spaces: [...' \t\n\r\v\f\u0085\u00a0\u180e\u2003\u2028\u3000\ufeff\u200b', 'a', '/', '.', '1', '\r\n'],
  odd: ['\0', '\ufeff', '\u0085', '\u180e', '\ud800', '\udc00', '\ufffd', 'a', 'A', ' ', '\n', '/'],
  contractions: [
    "'",
    "'s",
    "'S",
    "'ſ",
    "'ll",
    "'Re",
    "'VE",
    "'m",
    "'T",
    "'d",
    'I',
    'we',
    'HE',
    ' ',
    '1',
    '.',
  ],
  emoji: ['👩', '\u200d', '💻', '❤️', '🔥', '🏳️‍🌈', '👍🏽', ' ', 'a', '\ufe0f', '1️⃣'],
  cjk: [...'你好世界漢字。,、ひらがなカタカナ한국어 A1\n'],
  marks: [
    'e\u0301',
    '\u0301',
    '\u0300',
    'A',
    'a',
    ' ',
    'न',
    'स',
    '्',
    'ते',
    'ا',
    'ل',
    'ʰ',
    'ǅ',
    'ª',
    'א',
    'İ',
    "'",
  ],
  special: ['<|endoftext|>', '<|im_start|>', '<|fim_prefix|>', '<|endofprompt|>', ' ', 'a', '<|', '|>', '\n'],
  digits: [...'0123456789٣४½²Ⅷ ,.-'],
  letters: [...'aAbBéÉñßΩωжЖðÞ', "'", 's', 't'],
  astral: ['𝒜', '𝓫', '𐐀', '𐐨', '𠀀', '🀄', '𝟘', 'a', ' ', "'s", '\ud83d', '\ude00'],
}

/** Single pre-tokens of hundreds of characters, whose merges do not go from left to right. */
function* runs(each: number): Generator<string> {
  const random = randomNumbers(11)
  for (const pool of [
    [...'ab'],
    [...'aeinrst'],
    [...'这是没有标点的句子'],
    ['👩', '\u200d', '🔥'],
    [...'=-#*'],
  ]) {
    for (let index = 0; index < each; index++) {
      const length = 100 + Math.floor(random() * 900)
      yield Array.from({ length }, () => pool[Math.floor(random() * pool.length)]).join('')
    }
  }
}

/** Texts of every class of characters, and of all classes mixed; some are long, some have long runs. */
function* texts(each: number): Generator<string> {
  const random = randomNumbers(20260101)
  const all = Object.values(characters).flat()
  for (const pool of [...Object.values(characters), all]) {
    for (let index = 0; index < each; index++) {
      const length = 1 + Math.floor(random() * (index % 10 === 0 ? 400 : 40))
      const stickiness = random() * 0.8
      let text = ''
      let last = ''
      for (let count = 0; count < length; count++) {
        if (last === '' || random() >= stickiness) last = pool[Math.floor(random() * pool.length)] as string
        text += last
      }
      yield text
    }
  }
}

/** The indexes at which the pre-tokens of a text end. */
function preTokenEnds(text: string, encoding: (typeof encodings)[number]): Set<number> {
  const preTokenizer = new PreTokenizer(text, encoding)
  const ends = new Set<number>()
  for (let end = 0; end < text.length; ends.add(end)) end = preTokenizer.end(end)
  return ends
}

for (const encoding of encodings) {
  test(`${encoding}: the tokens are tiktoken's, over every class of characters`, () => {
    const theirs = get_encoding(encoding)
    try {
      for (const text of [...texts(120), ...runs(8)]) {
        const expected = [...theirs.encode(text, [], [])]
        assert.deepEqual(tokenizer(encoding).ids(text), expected, JSON.stringify(text))
        assert.equal(tokenizer(encoding).count(text), expected.length, JSON.stringify(text))
        // A second time, now that the counts of its words are cached.
        assert.equal(tokenizer(encoding).count(text), expected.length, JSON.stringify(text))
      }
    } finally {
      theirs.free()
    }
  })

  test(`${encoding}: the counts of slices add up to that of the whole`, () => {
    const random = randomNumbers(7)
    let cuts = 0
    for (const text of texts(60)) {
      const ends = preTokenEnds(text, encoding)
      const slices = new Slices([text], 1 + Math.floor(random() * 40))
      let sum = 0
      let whole = ''
      while (!slices.isDone) {
        const slice = slices.next()
        if (slice === undefined) continue
        whole += slice
        cuts++
        assert.ok(ends.has(whole.length), JSON.stringify([whole, text]))
        sum += tokenizer(encoding).count(slice)
      }
      assert.equal(whole, text)
      assert.equal(sum, tokenizer(encoding).count(text), JSON.stringify(text))
    }
    assert.ok(cuts > 1_500, String(cuts))
  })

  test(`${encoding}: the tokens of a long pre-token do not depend on the size of the windows`, () => {
    const table = loadMergeTable(encoding)
    for (const window of [2, 20, 64, 300]) {
      const small = new Tokenizer(encoding, table, window)
      for (const text of [...runs(6), ' '.repeat(700), 'x'.repeat(700)]) {
        assert.deepEqual(small.ids(text), tokenizer(encoding).ids(text), JSON.stringify([window, text]))
        assert.equal(small.count(text), tokenizer(encoding).count(text))
      }
    }
    const theirs = get_encoding(encoding)
    for (const unit of ['ab', '这是没有标点的句子', '👩\u200d🔥']) {
      const text = unit.repeat(20_000 / unit.length)
      assert.deepEqual(tokenizer(encoding).ids(text), [...theirs.encode(text, [], [])], unit)
    }
    theirs.free()
  })

  test(`${encoding}: the time for a long run without a place to cut grows in proportion to its length`, () => {
    // A quadratic merge would take more than a minute for each run.
    const runs = ['a', 'A', ' ', '=', '\n', 'ab', '这是没有标点的句子', '👩\u200d', 'न्', '1']
    for (const unit of runs) {
      const text = unit.repeat(300_000 / unit.length)
      assert.ok(tokenizer(encoding).count(text) > 0)
    }
  })
}

test('the beginning of a model name decides on the vocabulary', () => {
  const models: [string, string | undefined][] = [
    ['gpt-4o', 'o200k_base'],
    ['gpt-4o-mini-2024-07-18', 'o200k_base'],
    ['openai/gpt-4o', 'o200k_base'],
    ['openrouter/openai/o3-mini', 'o200k_base'],
    ['ft:gpt-4o-mini:acme::abc', 'o200k_base'],
    ['chatgpt-4o-latest', 'o200k_base'],
    ['gpt-4.1-nano', 'o200k_base'],
    ['gpt-4.5-preview', 'o200k_base'],
    ['gpt-5', 'o200k_base'],
    ['gpt-5.2-codex', 'o200k_base'],
    ['o1', 'o200k_base'],
    ['o4-mini', 'o200k_base'],
    ['gpt-oss:20b', 'o200k_base'],
    ['gpt-4', 'cl100k_base'],
    ['gpt-4-turbo-2024-04-09', 'cl100k_base'],
    ['gpt-3.5-turbo-0125', 'cl100k_base'],
    ['gpt-35-turbo', 'cl100k_base'],
    ['ft:gpt-3.5-turbo:acme', 'cl100k_base'],
    ['text-embedding-3-small', 'cl100k_base'],
    ['claude-haiku-4-5', undefined],
    ['gemini-2.5-flash', undefined],
    ['someone/gpt-4-alpaca', undefined],
    ['gpt-40', undefined],
    ['o365', undefined],
    ['gpt-6', undefined],
  ]
  for (const [model, encoding] of models) assert.equal(encodingOf(model), encoding, model)
})

test('a text is counted exactly with a known vocabulary, and estimated without', async () => {
  assert.deepEqual(await countTokens('hello world', { model: 'gpt-4o' }), {
    tokens: 2,
    method: 'exact',
    encoding: 'o200k_base',
  })
  const text = 'The quick brown fox jumps over the lazy dog. '.repeat(20)
  const { tokens, method, encoding } = await countTokens(text, { model: 'claude-haiku-4-5' })
  assert.equal(method, 'estimate')
  assert.equal(encoding, undefined)
  assert.ok(tokens > 150 && tokens < 260, String(tokens))
  assert.equal((await countTokens('', { model: 'gpt-4o' })).tokens, 0)
})

test('an estimate depends on the model: Claude makes more tokens of a text, and even more from Opus 4.7 on', async () => {
  const count = async (text: string, model: string) => (await countTokens(text, { model })).tokens
  // A recorded reply. Anthropic counted 41 tokens.
  const reply =
    'The current weather in San Francisco, CA is:\n- **Temperature:** 64°F\n- **Condition:** Partly cloudy\n' +
    '- **Humidity:** 65%'
  const tokens = await count(reply, 'claude-sonnet-4-5-20250929')
  assert.ok(tokens >= 39 && tokens <= 43, String(tokens))
  const text = 'The quick brown fox jumps over the lazy dog. '.repeat(80)
  const plain = await count(text, 'some-model')
  const old = await count(text, 'claude-3-5-sonnet-20240620')
  const recent = await count(text, 'claude-opus-4-7')
  assert.ok(old > plain * 1.1 && recent > old * 1.2)
  const oldModels =
    'claude-sonnet-4-20250514 anthropic/claude-opus-4.6 us.anthropic.claude-haiku-4-5-20251001-v1:0 ' +
    'claude-opus-4-1@20250805 claude-instant-1.2 claude-2.1 anthropic.claude-v2:1'
  for (const model of oldModels.split(' ')) assert.equal(await count(text, model), old, model)
  const recentModels = 'claude-opus-4-8 claude-fable-5 claude-sonnet-5 claude-opus-4.10 claude-new'
  for (const model of recentModels.split(' ')) assert.equal(await count(text, model), recent, model)
  // Counts of worker threads and of an LLM are scaled as well.
  assert.ok((await count('word '.repeat(5_000), 'claude-2.1')) > 5_900)
  const llm = createLLM('anthropic/claude-opus-4-6', { apiKey: 'key' })
  assert.equal((await llm.countTokens(text)).tokens, old + 4)
})

test('special tokens in a text are counted as plain text', async () => {
  const { tokens } = await countTokens('<|endoftext|>', { model: 'gpt-4o' })
  assert.equal(tokens, 7)
})

test('worker threads count large texts, with the same result', async () => {
  const random = randomNumbers(3)
  const words = [...texts(20)].filter((text) => !/[\ud800-\udfff]/.test(text))
  let text = ''
  while (text.length < 1_000_000) text += ` ${words[Math.floor(random() * words.length)]}`
  const { tokens } = await countTokens(text, { model: 'gpt-4o' })
  assert.equal(tokens, tokenizer('o200k_base').count(text))
  // This text has no place to cut.
  const run = 'x'.repeat(400_000)
  assert.equal((await countTokens(run, { model: 'gpt-4' })).tokens, tokenizer('cl100k_base').count(run))
})

test('each of many counts at once is right, with a long text among them', async () => {
  const inputs = [...texts(100)]
  inputs.splice(50, 0, 'word '.repeat(100_000), '')
  const counts = await Promise.all(inputs.map((text) => countTokens(text, { model: 'gpt-4o' })))
  assert.deepEqual(
    counts.map(({ tokens }) => tokens),
    inputs.map((text) => tokenizer('o200k_base').count(text)),
  )
})

test('a short text does not wait for a long one', async () => {
  const order: string[] = []
  const long = countTexts(['lorem ipsum '.repeat(2_000_000)], 'o200k_base').then(() => order.push('long'))
  const short = countTexts(['dolor '.repeat(2_000)], 'o200k_base').then(() => order.push('short'))
  await Promise.all([long, short])
  assert.deepEqual(order, ['short', 'long'])
})

test('the event loop stays free while a long text or thousands of short ones are counted', async () => {
  const text = 'the event loop goes round '.repeat(120_000)
  const shortTexts = Array.from({ length: 5_000 }, (_, index) => text.slice(index * 500, index * 500 + 500))
  for (const model of ['gpt-4o', 'claude-haiku-4-5']) {
    for (const inputs of [[text], shortTexts]) {
      let iterations = 0
      let isOver = false
      const iterate = () => {
        iterations++
        if (!isOver) setImmediate(iterate)
      }
      iterate()
      await Promise.all(inputs.map((input) => countTokens(input, { model })))
      isOver = true
      assert.ok(iterations > 10, `${model}, ${inputs.length}: ${iterations}`)
    }
  }
})

test("the count of a prompt includes the tokens that OpenAI's models read around its messages", async () => {
  const count = (prompt: Prompt, model = 'gpt-4o') => countTokens(prompt, { model })
  const hello: Message = { role: 'user', content: 'Hello' }
  assert.deepEqual(await count([hello]), { tokens: 8, method: 'exact', encoding: 'o200k_base' })
  // OpenAI counted 16 input tokens.
  const recorded = [{ role: 'user', content: 'Invent a new holiday and describe its traditions.' }] as const
  assert.deepEqual(await count(recorded, 'gpt-4.1-nano'), {
    tokens: 16,
    method: 'exact',
    encoding: 'o200k_base',
  })
  const withSystem = await countTokens('Hello', { model: 'gpt-4o', system: 'Hello' })
  assert.equal(withSystem.tokens, 13)
  assert.equal((await count([hello, { role: 'assistant', content: 'Hello' }, hello])).tokens, 18)
})

test('tools and pictures are counted, but only estimated, and bytes are never read as text', async () => {
  const base64 = 'QUJD'.repeat(250_000)
  const picture: Message = {
    role: 'user',
    content: [
      { type: 'text', text: 'Hello' },
      { type: 'image', image: base64, mediaType: 'image/png' },
      { type: 'file', file: base64, mediaType: 'application/pdf' },
    ],
  }
  const seen = await countTokens([picture], { model: 'gpt-4o' })
  assert.deepEqual(seen, { tokens: 8 + 1_600, method: 'estimate', encoding: 'o200k_base' })
  assert.equal((await countTokens([picture], { model: 'some-model' })).tokens, 5 + 1_600)
  const tools = [{ name: 'weather', description: 'Tells the weather', parameters: { type: 'object' } }]
  const withTools = await countTokens('Hello', { model: 'gpt-4o', tools })
  assert.equal(withTools.method, 'estimate')
  assert.ok(withTools.tokens > 20 && withTools.tokens < 40, String(withTools.tokens))
})

test('exact refuses to estimate, and says what to do', async () => {
  const exact = true
  assert.equal((await countTokens('hi', { model: 'gpt-4o', exact })).method, 'exact')
  await assert.rejects(countTokens('hi', { model: 'claude-haiku-4-5', exact }), {
    code: 'invalid_request',
    message: /The vocabulary of claude-haiku-4-5 is not public\. Let the vendor count with createLLM/,
  })
  const tools = [{ name: 'weather' }]
  await assert.rejects(countTokens('hi', { model: 'gpt-4o', tools, exact }), { code: 'invalid_request' })
  await assert.rejects(countTokens('hi', { model: '' }), { code: 'invalid_request' })
  await assert.rejects(countTokens([], { model: 'gpt-4o' }), { code: 'invalid_request' })
})

test('an LLM counts the request that a call would send, defaults included, and sends nothing', async () => {
  const llm = createLLM('openai/gpt-4o', { apiKey: 'key', baseURL: 'http://127.0.0.1:9', system: 'Hello' })
  assert.deepEqual(await llm.countTokens('Hello'), { tokens: 13, method: 'exact', encoding: 'o200k_base' })
  assert.equal((await llm.countTokens('Hello', { model: 'gpt-9' })).method, 'estimate')
  await assert.rejects(llm.countTokens(''), { code: 'invalid_request', provider: 'openai' })
  await assert.rejects(llm.countTokens('Hello', { temprature: 1 } as never), { code: 'invalid_request' })
  await llm.close()
  await assert.rejects(llm.countTokens('Hello'), { code: 'configuration' })
})

test('counting a run of 30 MB takes no more memory than its text and a window', async () => {
  const script = `
    import { Tokenizer } from './src/tokens/bpe/tokenizer.ts'
    import { loadMergeTable } from './src/tokens/bpe/vocabulary.ts'
    const tokenizer = new Tokenizer('o200k_base', loadMergeTable('o200k_base'))
    tokenizer.count('a'.repeat(100_000))
    const text = Buffer.alloc(30_000_000, 'a').toString('latin1')
    const before = process.resourceUsage().maxRSS
    tokenizer.count(text)
    console.log(process.resourceUsage().maxRSS - before)`
  const flags = ['--conditions=convoke-source', '--input-type=module', '-e', script]
  const cwd = resolve(import.meta.dirname, '../..')
  const { stdout } = await promisify(execFile)(process.execPath, flags, { cwd })
  assert.ok(Number(stdout) < 100_000, `${stdout.trim()} KB`)
})

test('a script that counted ends by itself', async () => {
  const script = `
    import { countTokens } from 'convoke'
    const { tokens } = await countTokens('word '.repeat(50_000), { model: 'gpt-4o' })
    console.log(tokens)`
  const flags = ['--conditions=convoke-source', '--input-type=module', '-e', script]
  const cwd = resolve(import.meta.dirname, '../..')
  const { stdout } = await promisify(execFile)(process.execPath, flags, { cwd, timeout: 30_000 })
  assert.equal(stdout, '50001\n')
})

/** What an editor shows: completions of names, and one readable error for a misspelt option. By TypeScript's own service. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { calcPrice } from '@pydantic/genai-prices'
import { listProviders } from 'convoke'
import ts from 'typescript'
import { afterEach, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8')) as {
  config: object
}
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)

/** The file that is typed in; it need not exist. */
const file = join(import.meta.dirname, 'typed-in.ts')
let text = ''
let version = 0

const service = ts.createLanguageService({
  directoryExists: ts.sys.directoryExists,
  getDirectories: ts.sys.getDirectories,
  readDirectory: ts.sys.readDirectory,
  getCompilationSettings: () => options,
  getScriptFileNames: () => [file],
  getScriptVersion: (path) => (path === file ? String(version) : '0'),
  getScriptSnapshot: (path) => {
    const content = path === file ? text : ts.sys.readFile(path)
    return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
  },
  fileExists: (path) => path === file || ts.sys.fileExists(path),
  readFile: (path) => (path === file ? text : ts.sys.readFile(path)),
  getCurrentDirectory: () => root,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
})

const start = `
  import { balance, consensus, createLLM, createSession, fallback, fanOut, hedge } from 'convoke'
  import * as z from 'zod'
  const llm = createLLM('openai/gpt-4o-mini')
  const session = createSession(llm)
  const schema = z.object({ city: z.string() })
`

function type(code: string): void {
  text = start + code
  version++
}

/** The names that are offered at the bar. */
function completions(code: string): string[] {
  type(code.replace('|', ''))
  const found = service.getCompletionsAtPosition(file, start.length + code.indexOf('|'), {})
  return (found?.entries ?? []).map(({ name }) => name)
}

function errors(code: string): string[] {
  type(code)
  return service
    .getSemanticDiagnostics(file)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

afterEach(() => {
  text = ''
})

test('createLLM completes providers, and models behind their provider; any other text is taken', () => {
  const names = completions(`createLLM('|')`)
  for (const name of [...listProviders(), 'google', 'openai/gpt-4o-mini', 'anthropic/claude-haiku-4-5']) {
    assert.ok(names.includes(name), name)
  }
  const others = names.filter((name) => !name.includes('/') && name !== 'google')
  assert.deepEqual(others.sort(), listProviders().sort())
  assert.deepEqual(errors(`createLLM('my-own/model-of-tomorrow')`), [])
})

test('the option model completes known models, of createLLM and of a call; any other text is taken', () => {
  for (const code of [`createLLM('openai', { model: '|' })`, `void llm.agenerate('x', { model: '|' })`]) {
    const names = completions(code)
    for (const name of ['gpt-4o-mini', 'claude-haiku-4-5', 'gemini-2.5-flash']) {
      assert.ok(names.includes(name), name)
    }
  }
  assert.deepEqual(errors(`void llm.agenerate('x', { model: 'model-of-tomorrow' })`), [])
})

test('options complete in every place', () => {
  for (const code of [
    `void llm.agenerate('x', { | })`,
    `void llm.agenerate('x', { schema, | })`,
    `llm.stream('x', { | })`,
    `llm.generate('x', { | })`,
    `void session.agenerate('x', { | })`,
    `createLLM('openai', { | })`,
    `void fanOut([llm], 'x', { | })`,
    `consensus([llm], 'x', { | })`,
  ]) {
    assert.ok(completions(code).includes('temperature'), code)
  }
})

test('a misspelt option is one error, which names it and the right one', () => {
  for (const code of [
    `void llm.agenerate('x', { temprature: 1 })`,
    `void llm.agenerate('x', { temprature: 1, schema })`,
    `void llm.agenerate('x', { temprature: 1, stream: true })`,
    `void llm.agenerate('x', { temprature: 1, schema, tools: [{ name: 'clock' }] })`,
    `llm.stream('x', { temprature: 1, schema })`,
    `llm.generate('x', { temprature: 1 })`,
    `llm.generate('x', { temprature: 1, stream: true })`,
    `llm.countTokensSync('x', { temprature: 1 })`,
    `void session.agenerate('x', { temprature: 1 })`,
    `session.stream('x', { temprature: 1 })`,
    `session.generate('x', { temprature: 1, schema })`,
    `createLLM('openai', { temprature: 1 })`,
    `void fanOut([llm], 'x', { temprature: 1 })`,
    `void fanOut({ llm }, 'x', { temprature: 1, stream: true })`,
    `consensus([llm], 'x', { temprature: 1, choices: ['yes', 'no'] })`,
  ]) {
    const [error = '', ...more] = errors(code)
    assert.deepEqual(more, [], code)
    assert.match(error, /'temprature' does not exist.*Did you mean to write 'temperature'\?$/, code)
    assert.doesNotMatch(error, /overload|\n/i, code)
  }
  const misspelt: [code: string, right: string][] = [
    [`void llm.agenerate('x', { tools: [{ name: 'clock', paramters: {} }] })`, 'parameters'],
    [`void llm.agenerate('x', { timeouts: { totlMs: 5 } })`, 'totalMs'],
    [`balance([llm], { strategi: 'random' })`, 'strategy'],
    [`consensus([llm], 'x', { qorum: 2 })`, 'quorum'],
  ]
  for (const [code, right] of misspelt) {
    const [error = '', ...more] = errors(code)
    assert.deepEqual(more, [], code)
    assert.match(error, new RegExp(`Did you mean to write '${right}'\\?$`), code)
  }
})

test('a misspelt option of fallback and hedge, which have a deprecated form, is one error as well', () => {
  for (const code of [`fallback([llm, llm], { replai: 'restart' })`, `hedge([llm, llm], { aftrMs: 5 })`]) {
    const [error = '', ...more] = errors(code)
    assert.deepEqual(more, [], code)
    assert.match(error, /Did you mean to write '(replay|afterMs)'\?/, code)
  }
})

test('LLMs that are not in a list are marked as deprecated', () => {
  const suggestions = (code: string) => {
    type(code)
    return service.getSuggestionDiagnostics(file).filter(({ reportsDeprecated }) => reportsDeprecated)
  }
  assert.equal(suggestions(`fallback(llm, llm)`).length, 1)
  assert.equal(suggestions(`hedge(llm, llm, { afterMs: 5 })`).length, 1)
  assert.equal(suggestions(`fallback([llm, llm])`).length, 0)
})

test('new LLM() does not type-check, and says why', () => {
  type(`import { LLM } from 'convoke'\nnew LLM()`)
  const found = service.getSemanticDiagnostics(file).map(({ code }) => code)
  // "'LLM' cannot be used as a value because it was exported using 'export type'."
  assert.ok(found.includes(1362), found.join())
})

test('the list of models is that of the SDKs and of the price list', () => {
  const sdks = {
    openai: readFileSync(join(root, 'node_modules/openai/resources/shared.d.ts'), 'utf8'),
    anthropic: readFileSync(
      join(root, 'node_modules/@anthropic-ai/sdk/resources/messages/messages.d.ts'),
      'utf8',
    ),
  }
  const priced = {
    gemini: 'google',
    cohere: 'cohere',
    groq: 'groq',
    deepseek: 'deepseek',
    mistral: 'mistral',
    xai: 'x-ai',
  }
  const names = completions(`createLLM('|')`).map((name) => name.split('/') as [string, string?])
  const modelsOf = (provider: string) =>
    names.flatMap(([name, model]) => (name === provider && model !== undefined ? [model] : []))
  for (const [provider, types] of Object.entries(sdks)) {
    assert.ok(modelsOf(provider).length > 3, provider)
    for (const model of modelsOf(provider)) assert.ok(types.includes(`'${model}'`), model)
  }
  for (const [provider, providerId] of Object.entries(priced)) {
    assert.ok(modelsOf(provider).length > 1, provider)
    for (const model of modelsOf(provider)) {
      assert.ok(calcPrice({ input_tokens: 1 }, model, { providerId }), `${provider}/${model}`)
    }
  }
})

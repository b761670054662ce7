/** The package as its users get it: packed, installed, imported, and refused by an old Node. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, test } from 'vitest'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
let home = ''

const { exports: exported } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, unknown>
}
/** What can be imported: all that `exports` names. */
const entries = Object.keys(exported)
  .filter((path) => path !== './package.json')
  .map((path) => path.replace('.', 'convoke'))

/** A project that depends on the built package, with the SDKs of this one. */
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'convoke-package-'))
  const installed = join(home, 'node_modules', 'convoke')
  await mkdir(installed, { recursive: true })
  const rolldown = join(root, 'node_modules/rolldown/bin/cli.mjs')
  const env = { ...process.env, CONVOKE_DIST: join(installed, 'dist') }
  await run(process.execPath, [rolldown, '-c', 'rolldown.config.ts'], { cwd: root, env })
  await cp(join(root, 'package.json'), join(installed, 'package.json'))
  for (const name of ['leven', 'tokenx', '@pydantic']) {
    await symlink(join(root, 'node_modules', name), join(home, 'node_modules', name))
  }
  await writeFile(join(home, 'package.json'), '{"type":"module"}')
})

afterAll(() => rm(home, { recursive: true, force: true }))

async function script(text: string, execPath = process.execPath, args: string[] = []) {
  const file = join(home, `script-${Math.random().toString(36).slice(2)}.js`)
  await writeFile(file, text)
  return run(execPath, [...args, file], { cwd: home }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
}

test('every entry point can be imported from the built package', async () => {
  const { stdout, stderr } = await script(`
    import { createRequire } from 'node:module'
    const names = ${JSON.stringify(entries)}
    for (const name of names) console.log(name, Object.keys(await import(name)).join())
    console.log(createRequire(import.meta.url)('convoke/package.json').name)
  `)
  assert.equal(stderr, '')
  const lines = stdout.split('\n').map((line) => line.split(' '))
  assert.deepEqual(
    lines.map(([name]) => name),
    [...entries, 'convoke', ''],
  )
  const values = Object.fromEntries(lines)
  assert.equal(values['convoke/provider'], 'registerProvider')
  assert.equal(values['convoke/consensus'], 'textSimilarity')
  // The contract of a store is types alone.
  assert.equal(values['convoke/store'], '')
  assert.match(values['convoke/conformance'], /providerContract/)
})

test('importing convoke loads no vendor SDK, no price list, no transport, no thread and no simulator', async () => {
  const { stdout } = await script(`
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
    await import('convoke')
    console.log(loaded.filter((url) => /openai|anthropic|google|cohere|ollama|genai|simulator|undici|piscina|better-sqlite3|gpt-tokenizer/.test(url)).join())
    console.log(loaded.length)
  `)
  const [sdks, count] = stdout.split('\n')
  assert.equal(sdks, '')
  assert.ok(Number(count) > 5 && Number(count) < 60, count)
})

test('worker threads run from the built package', async () => {
  for (const name of ['gpt-tokenizer', 'piscina']) {
    await symlink(join(root, 'node_modules', name), join(home, 'node_modules', name))
  }
  const { stdout, stderr } = await script(`
    import { countTokens } from 'convoke'
    console.log(JSON.stringify(await countTokens('word '.repeat(20_000), { model: 'gpt-4o' })))
  `)
  assert.equal(stderr, '')
  assert.equal(stdout, '{"tokens":20001,"method":"exact","encoding":"o200k_base"}\n')
})

test('a missing SDK is missing_dependency at once, with the command that installs it', async () => {
  const { stdout } = await script(`
    import { createLLM } from 'convoke'
    try { createLLM('cohere/command', { apiKey: 'x' }) } catch (error) { console.log(error.code, error.message) }
  `)
  assert.equal(
    stdout,
    'missing_dependency [cohere] The package cohere-ai is not installed. Run: npm install cohere-ai\n',
  )
})

const sentence = /unsupported_runtime: convoke needs Node 22\.12 or newer; this is Node [\d.]+\d\./

test('an old Node is refused in one sentence with exit code 1, by every entry point', async () => {
  const pretend = join(home, 'pretend.cjs')
  await writeFile(pretend, "Object.defineProperty(process.versions, 'node', { value: '22.11.0' })")
  for (const name of entries) {
    const { code, stderr } = await script(`import '${name}'`, process.execPath, ['--require', pretend])
    assert.equal(code, 1, name)
    assert.match(stderr, sentence)
    assert.doesNotMatch(stderr, /\n\s+at /)
  }
})

test('a Node that SQLite cannot run on is refused by the store, in words, before a file is made', async () => {
  await symlink(join(root, 'node_modules/better-sqlite3'), join(home, 'node_modules/better-sqlite3'))
  const pretend = join(home, 'pretend-napi.cjs')
  await writeFile(pretend, "Object.defineProperty(process.versions, 'napi', { value: '9' })")
  const { stdout } = await script(
    `import { existsSync } from 'node:fs'
    import { sqliteStore } from 'convoke'
    const store = sqliteStore({ path: 'old.db' })
    await store.open({ id: 'a' }).catch(({ code, message }) => console.log(code, message))
    await store.close()
    console.log(existsSync('old.db'))`,
    process.execPath,
    ['--require', pretend],
  )
  assert.match(stdout, /^unsupported_runtime .*old\.db\] Conversations need Node 22\.14.*\nfalse\n$/)
})

test('an old Node of this machine, where there is one, is refused the same way', async (context) => {
  const old = await oldNode()
  if (!old) return context.annotate('every Node on the PATH is new enough')
  for (const name of entries) {
    const { code, stderr } = await script(`import '${name}'`, old)
    assert.equal(code, 1, name)
    assert.match(stderr, sentence)
  }
})

/** A Node on the PATH, outside of node_modules, that is older than 22.12. */
async function oldNode(): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    if (folder.includes('node_modules')) continue
    const names = await readdir(folder).catch((): string[] => [])
    if (!names.includes('node')) continue
    const path = join(folder, 'node')
    const { stdout } = await run(path, ['--version']).catch(() => ({ stdout: 'v99' }))
    const [major = 0, minor = 0] = stdout.slice(1).split('.').map(Number)
    if (major < 22 || (major === 22 && minor < 12)) return path
  }
  return undefined
}

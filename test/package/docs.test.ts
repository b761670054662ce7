/** Prose rots: what README and CONTRIBUTING name must be there, and what is there must be named. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { listProviders } from 'convoke'
import { test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const readme = read('README.md')
const contributing = read('CONTRIBUTING.md')

test('every file and folder that the recipe and the map of the house name exists', () => {
  const paths = [...contributing.matchAll(/\b((?:src|test|examples)\/[\w./<>-]*)/g)].map(
    ([, path]) => path as string,
  )
  assert.ok(paths.length > 20)
  for (const path of paths) {
    // The recipe's placeholders, filled in by the providers that follow it.
    const names = path.includes('<') ? ['openai', 'anthropic', 'gemini', 'cohere', 'ollama'] : ['']
    const found = names.filter((name) =>
      existsSync(join(root, path.replace('<name>', name).replace('<api>', 'chat'))),
    )
    assert.ok(found.length > 0, path)
  }
})

test('every file right under src/ stands on the map', () => {
  for (const file of readdirSync(join(root, 'src')).filter(
    (name) => name.endsWith('.ts') && name !== 'runtime.ts',
  )) {
    assert.ok(contributing.includes(file), file)
  }
})

test('the README has a row or a word for every provider', () => {
  for (const name of listProviders()) assert.ok(readme.includes(`\`${name}\``), name)
})

test('the README names every example, and every script that it tells to run exists', () => {
  for (const file of readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'))) {
    assert.ok(readme.includes(`\`${file.replace('.ts', '')}\``), file)
  }
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const [, name = ''] of `${readme}${contributing}`.matchAll(/npm run ([\w:]+)/g))
    assert.ok(scripts[name], name)
})

test('the README explains every code that calls and streams can end with', () => {
  const later = /^(tool_failed|session_|store_)/
  const codes = [...read('src/errors.ts').matchAll(/^ {2}(\w+): (?:true|false),$/gm)].map(
    ([, code]) => code as string,
  )
  assert.ok(codes.length > 25)
  for (const code of codes.filter((name) => !later.test(name)))
    assert.ok(readme.includes(`\`${code}\``), code)
})

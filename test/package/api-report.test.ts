/** The public names: how many there are, and that each can be imported. Read from the committed reports in test/types/api/. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'vitest'

const folder = resolve(import.meta.dirname, '../types/api')
const declaration = /^(export )?(?:declare |abstract )?(?:class|interface|type|const|function) (\w+)/gm

/** The names of a report: those that the entry point exports, and those that it only mentions. */
function namesOf(report: string): { exported: Set<string>; mentioned: Set<string> } {
  const found = [...readFileSync(join(folder, report), 'utf8').matchAll(declaration)]
  const named = (isExported: boolean) =>
    new Set(found.filter(([, word]) => (word !== undefined) === isExported).map(([, , name = '']) => name))
  return { exported: named(true), mentioned: named(false) }
}

const reports = readdirSync(folder)
const byEntry = new Map(reports.map((report) => [report.replace('.api.md', ''), namesOf(report)]))

test('convoke exports at most 90 names, types included', async (context) => {
  const { size = Infinity } = byEntry.get('convoke')?.exported ?? {}
  const counts = [...byEntry].map(([entry, { exported }]) => `${entry} ${exported.size}`)
  await context.annotate(`public names: ${counts.join(', ')}`)
  assert.ok(size > 60 && size <= 90, `${size} names`)
})

test('every type that a signature mentions is exported by one of the entry points', () => {
  // The lists behind ModelName and ProviderName, which are complete without them.
  const lists = ['AnyName', 'KnownModels', 'KnownProvider']
  const exported = new Set([...byEntry.values()].flatMap((names) => [...names.exported]))
  const mentioned = [...byEntry.values()].flatMap((names) => [...names.mentioned])
  const lost = new Set(mentioned.filter((name) => !exported.has(name) && !lists.includes(name)))
  assert.deepEqual([...lost], [])
})

test('users cannot construct what createLLM, createSession and calls make: those classes are types alone', async () => {
  const values = (await import('convoke')) as object
  for (const name of ['LLM', 'Session', 'ResponseStream', 'BlockingStream', 'Consensus', 'FanOutStream']) {
    assert.ok(byEntry.get('convoke')?.exported.has(name), name)
    assert.ok(!(name in values), name)
  }
})

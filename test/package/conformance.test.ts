/** The conformance suite in test runners other than the project's own. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { providerContract, simulatedSubject, testProvider } from 'convoke/conformance'
import { test, vi } from 'vitest'

const subject = simulatedSubject('openai')
const names = providerContract(subject).map(({ name }) => name)

test('the suite runs in node:test', async () => {
  const script = `
    import { test } from 'node:test'
    import { simulatedSubject, testProvider } from 'convoke/conformance'
    testProvider(simulatedSubject('openai'), test)`
  const flags = ['--conditions=convoke-source', '--test-reporter=tap', '--input-type=module', '-e', script]
  const cwd = resolve(import.meta.dirname, '../..')
  const { stdout } = await promisify(execFile)(process.execPath, flags, { cwd })
  assert.match(stdout, new RegExp(`^# pass ${names.length}$`, 'm'))
  assert.match(stdout, /^# fail 0$/m)
})

test('the suite takes the global test(), as jest has one, and says what to pass where there is none', () => {
  const declared: string[] = []
  assert.throws(() => testProvider(subject), { name: 'TypeError', message: /testProvider\(subject, test\)/ })
  vi.stubGlobal('test', (name: string) => declared.push(name))
  testProvider(subject)
  vi.unstubAllGlobals()
  assert.deepEqual(declared, names)
})

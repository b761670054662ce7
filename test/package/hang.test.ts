/** The configuration of the test runner: a file that hangs ends alone. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')

test('a file that blocks its process is ended and named, and the other files run', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'convoke-hang-'))
  t.onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'test'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const file = (name: string, body: string) =>
    writeFileSync(
      join(folder, `test/${name}.test.ts`),
      `import { test } from 'vitest'\ntest('${name}', () => { ${body} })`,
    )
  file('hangs', 'for (;;);')
  file('waits', 'return new Promise(() => {})')
  file('passes', '')
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const config = join(root, 'vitest.config.ts')
  const given = ['run', '--config', config, '--root', folder, '--project', 'fast', '--testTimeout', '4000']
  const { code, stdout, stderr } = await promisify(execFile)(process.execPath, [vitest, ...given], {
    env: { ...process.env, NO_COLOR: '1' },
  }).then(
    (output) => ({ code: 0, ...output }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
  assert.equal(code, 1)
  assert.match(stderr, /hangs\.test\.ts blocked its process for [\d.]+ s, so the process was ended/)
  assert.match(stdout, /✓ .*passes\.test\.ts/)
  assert.match(stdout, /× waits/)
  assert.match(stderr, /Worker exited unexpectedly.*hangs\.test\.ts/)
})

/**
 * The disk of a store fills up: errors have codes, no acknowledged write is lost, and writes work again with free
 * space.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'vitest'
import type { TestContext } from 'vitest'
import { folderFor } from '../support/store-kit.ts'
import { forkModule } from './fork-module.ts'

interface Report {
  codes: string[]
  stored: number
  kept: string[]
  sent: string[]
  last: string
  after: number
  isOk: boolean
  problems: string[]
}

/** A disk of 6 MB, of which 4 are used; undefined when this user cannot mount one. */
function smallDisk(context: TestContext): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'store-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    rmSync(folder, { recursive: true })
    return undefined
  }
  context.onTestFinished(() => {
    execFileSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true })
  })
  return folder
}

test('a full disk refuses writes as store_full, and loses none that it took', async (t) => {
  const disk = smallDisk(t)
  const folder = disk ?? folderFor(t)
  const ballast = join(folder, 'ballast')
  writeFileSync(ballast, Buffer.alloc(disk ? 4 * 2 ** 20 : 1))
  // Without a disk of its own the file gets a limit of pages instead.
  const env = disk ? {} : { CONVOKE_TEST_MAX_PAGES: '300', CONVOKE_TEST_BALLAST: ballast }
  const limiter = new URL('./page-limiter.ts', import.meta.url).href
  const child = forkModule('store-filler.ts', [join(folder, 'chat.db'), ballast], {
    env,
    ...(disk ? {} : { execArgv: ['--import', limiter] }),
  })
  const report = await child.message<Report>()
  assert.deepEqual(report.codes, ['store_full'])
  assert.deepEqual(report.kept, report.sent)
  assert.ok(report.stored > 10, String(report.stored))
  assert.deepEqual([report.last, report.isOk, report.problems], ['after', true, []])
  await t.annotate(
    `${report.stored} messages stored until the disk was full, 0 lost, ${disk ? 'on tmpfs' : 'by page count'}`,
  )
})

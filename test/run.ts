/**
 * `npm test`: each file in a process of its own; all of them, or those that are named (`npm test -- test/gate.test.ts`).
 * `node --test` would do, but it starts them by the alphabet and has no sources compiled for more than one process.
 */
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

/** They begin before the others, so that none of them runs on by itself in the end. */
const longest = ['examples', 'blocking-thread', 'session-stalls', 'tokens', 'blocking', 'blocking-session']
const rank = (file: string) => {
  const at = longest.findIndex((name) => file.endsWith(`/${name}.test.ts`))
  return at < 0 ? longest.length : at
}

const named = process.argv.slice(2)
const option = named.find((word) => word.startsWith('-'))
if (option !== undefined)
  throw new Error(`${option}: npm test takes files alone; options are for node --test.`)
const files =
  named.length > 0 ? named : globSync(join(import.meta.dirname, '!(faults|bench)/*.test.ts')).sort()

// Some hundreds of processes and threads load the same sources: the first to do so compiles them for all. For this run
// alone, so that none depends on what another one left.
const compiled = mkdtempSync(join(tmpdir(), 'convoke-compiled-'))
process.env['NODE_COMPILE_CACHE'] = compiled
process.on('exit', () => rmSync(compiled, { recursive: true, force: true }))
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

run({
  files: files.toSorted((one, other) => rank(one) - rank(other)),
  // One more than the machine of CI has cores: about a third of the time a test waits.
  concurrency: 3,
  timeout: 60_000,
})
  .on('test:fail', () => (process.exitCode = 1))
  .compose(spec)
  .pipe(process.stdout)

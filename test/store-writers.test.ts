/** Writers of turns, told dead or alive by what the system says of their processes. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { processStart } from '../src/store/writers.ts'
import { folderFor } from './store-kit.ts'

const run = promisify(execFile)
const notLinux = process.platform === 'linux' ? false : 'no other system says when a process was started'
const source = (file: string) => JSON.stringify(join(import.meta.dirname, file))

test(
  'a process that can open no more files takes no living writer for dead',
  { skip: notLinux },
  async (t) => {
    const code = `import { openSync } from 'node:fs'
    import { sqliteStore } from ${source('../src/store/sqlite.ts')}
    import { half, text } from ${source('store-kit.ts')}
    const [path, pid, started] = process.argv.slice(1)
    const store = sqliteStore({ path })
    await store.open({ id: 's' })
    await half(store, 's', '1', [text('a')], { ...store.writer, id: 'other', pid: Number(pid), started })
    try { for (;;) openSync('/dev/null') } catch {}
    console.log((await store.readMessages('s')).at(-1).status)
    process.exit()`
    const flags = ['--conditions=convoke-source', '--input-type=module', '-e', code]
    const writer = [String(process.pid), processStart(process.pid)]
    const { stdout } = await run(
      'sh',
      [
        '-c',
        'ulimit -n 200; exec "$@"',
        'sh',
        process.execPath,
        ...flags,
        join(folderFor(t), 'chat.db'),
        ...writer,
      ],
      { timeout: 20_000 },
    )
    assert.equal(stdout.trim(), 'streaming')
  },
)

/** Writers of turns, told dead or alive by what the system says of their processes. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { test } from 'vitest'
import { processStart } from '../../src/threads/writer-liveness.ts'
import { folderFor, half, openStore, script, text } from '../support/store-kit.ts'

const run = promisify(execFile)
/** No other system says when a process was started. */
const isLinux = process.platform === 'linux'
const source = (file: string) => JSON.stringify(join(import.meta.dirname, file))

test(
  'a process that can open no more files takes no living writer for dead',
  { skip: !isLinux },
  async (t) => {
    const code = `import { openSync } from 'node:fs'
    import { half, text } from ${source('../support/store-kit.ts')}
    const [path, pid, started] = process.argv.slice(1)
    const store = sqliteStore({ path })
    await store.open({ id: 's' })
    await half(store, 's', '1', [text('a')], { ...store.writer, id: 'other', pid: Number(pid), started })
    try { for (;;) openSync('/dev/null') } catch {}
    console.log((await store.readMessages('s')).at(-1).status)
    process.exit()`
    const given = [join(folderFor(t), 'chat.db'), String(process.pid), processStart(process.pid)]
    const limited = ['-c', 'ulimit -n 200; exec "$@"', 'sh', process.execPath]
    const { stdout } = await run('sh', [...limited, ...script(code), ...given], { timeout: 20_000 })
    assert.equal(stdout.trim(), 'streaming')
  },
)

test(
  'a writer that has ended is dead, also while its parent has not asked how',
  { skip: !isLinux },
  async (t) => {
    const { store } = openStore(t)
    await store.open({ id: 's' })
    // In a container without an init process they stay for as long as it runs.
    const parent = spawn('sh', ['-c', 'sleep 100 & echo $!; exec sleep 100'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    t.onTestFinished(() => void parent.kill())
    const [line] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(line.toString())
    await half(store, 's', '1', [text('a')], {
      ...store.writer,
      id: 'other',
      pid,
      started: processStart(pid),
    })
    const status = async () => (await store.readMessages('s')).at(-1)?.status
    assert.equal(await status(), 'streaming')
    process.kill(pid, 'SIGKILL')
    while (!readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')) await setTimeout(10)
    assert.equal(await status(), 'interrupted')
  },
)

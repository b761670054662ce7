/** The peers are heavy (200 MB), so that they are installed here, and only where they are measured. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const folder = import.meta.dirname

export function installPeers(): void {
  if (existsSync(join(folder, 'node_modules/.package-lock.json'))) return
  process.stderr.write('Installing the peers into test/bench/node_modules …\n')
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: ['ignore', process.stderr, process.stderr],
    shell: process.platform === 'win32',
  })
}

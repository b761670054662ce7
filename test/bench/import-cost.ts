/**
 * The cost of `import 'convoke'`: the median time of whole processes with the import, minus that of bare Node. The two
 * kinds of processes alternate, so that a drift of the machine affects both. Goal: at most 40 ms, and no vendor SDK
 * loaded.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { median } from './report.ts'

const rounds = 21
const dist = resolve(import.meta.dirname, '../../dist/src')

export interface ImportCost {
  what: string
  medianMs: number
  overBareMs: number
}

export function importCost(): ImportCost[] {
  const folder = mkdtempSync(join(tmpdir(), 'convoke-bench-'))
  const entries: [what: string, code: string][] = [
    ['bare Node', ''],
    ['convoke', `import ${JSON.stringify(pathToFileURL(join(dist, 'index.js')).href)}`],
    ['convoke/simulator', `import ${JSON.stringify(pathToFileURL(join(dist, 'simulator/index.js')).href)}`],
  ]
  const scripts = entries.map(([what, code], at) => {
    const file = join(folder, `${at}.mjs`)
    writeFileSync(file, code)
    return { what, file, times: [] as number[] }
  })
  for (let round = 0; round < rounds; round++) {
    for (const { file, times } of scripts) {
      const startedAt = performance.now()
      execFileSync(process.execPath, [file])
      if (round > 0) times.push(performance.now() - startedAt)
    }
  }
  rmSync(folder, { recursive: true })
  const bare = median(scripts[0]?.times ?? [])
  return scripts.map(({ what, times }) => ({
    what,
    medianMs: median(times),
    overBareMs: median(times) - bare,
  }))
}

/** `npm run bench`: every benchmark, and one table for each. */
import { cpus } from 'node:os'
import { importCost } from './import-cost.ts'

console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}\n`)
console.log('Import cost, whole process, median of 20')
console.table(
  importCost().map(({ what, medianMs, overBareMs }) => ({
    import: what,
    'ms in all': medianMs.toFixed(1),
    'ms over bare Node': overBareMs.toFixed(1),
  })),
)

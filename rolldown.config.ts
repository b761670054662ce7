/**
 * The files that users load: bundles that share their chunks, since importing one file of ours for each module costs
 * twice the CPU. `tsc` makes the types. Entry points, threads and vendors keep their paths. A chunk lies as deep as a
 * file in a room of src/, so that `../../workers/` leads to the threads from either.
 */
import { defineConfig } from 'rolldown'

const rooms = ['simulator', 'providers', 'store', 'consensus'].map((room) => `src/${room}/index`)
const vendors = ['anthropic', 'cohere', 'gemini', 'ollama', 'openai'].map(
  (vendor) => `src/providers/${vendor}/provider`,
)
const threads = ['blocking', 'sqlite', 'tokenize'].map((thread) => `workers/${thread}`)
// The runtime check has to run before any other module of ours, and so stands in a file of its own.
const entries = ['src/index', 'src/runtime', ...rooms, ...vendors, ...threads, 'test/conformance']

export default defineConfig({
  input: Object.fromEntries(entries.map((entry) => [entry, `${entry}.ts`])),
  platform: 'node',
  external: (id) => !/^[./]/.test(id),
  // package.json names the files of the package that have side effects, not the sources.
  treeshake: { moduleSideEffects: true },
  output: {
    dir: process.env['CONVOKE_DIST'] ?? 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'src/chunks/[name].js',
    sourcemap: true,
  },
})

/**
 * Test files run in a process of their own, and Node itself loads all modules: the library, which is also loaded by
 * threads and by child processes, is then the same code with the same line numbers everywhere, and module hooks cannot
 * hide a mistake in an import.
 */
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/support/runner/longest-first.ts'
import { processWithLimit } from './test/support/runner/process-with-limit.ts'

const blocking = ['test/blocking/*.test.ts', 'test/combinators/blocking.test.ts']
const campaigns = ['test/faults/*.test.ts']

export default defineConfig({
  // Vite's own list would be handed to Node as well, which then took other builds of the vendor SDKs than users get.
  ssr: { resolve: { conditions: ['convoke-source'] } },
  test: {
    pool: processWithLimit,
    execArgv: ['--unhandled-rejections=strict'],
    experimental: { viteModuleRunner: false, nodeLoader: false },
    globalSetup: join(import.meta.dirname, 'test/support/runner/compile-cache.ts'),
    restoreMocks: true,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One more than the machine of CI has cores, since tests spend about a third of their time waiting.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    coverage: { include: ['src/**', 'workers/**'] },
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: [...blocking, ...campaigns, 'test/bench/**'],
        },
      },
      { extends: true, test: { name: 'blocking', include: blocking } },
      {
        extends: true,
        test: {
          name: 'faults',
          include: campaigns,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          maxWorkers: 1,
        },
      },
    ],
  },
})

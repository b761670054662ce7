/**
 * Preloaded into the blocking thread with `--import`. A call with a certain prompt breaks the thread, as a bug in the
 * library would. In the main thread this module does nothing.
 */
import type { MessagePort } from 'node:worker_threads'
import { isMainThread, workerData } from 'node:worker_threads'

const { port } = (workerData ?? {}) as { port?: MessagePort }

if (!isMainThread && port) {
  // Added later than the thread's own listener, because the first listener gets the messages that came before it.
  setTimeout(() => port.on('message', listen), 100)
}

function listen({ args }: { args?: [string] }): void {
  switch (args?.[0]) {
    case 'exit':
      return process.exit(3)
    case 'exit later':
      return void setTimeout(() => process.exit(3), 300)
    case 'throw':
      queueMicrotask(() => {
        throw new Error('a bug')
      })
      return
    case 'reject':
      void Promise.reject(new Error('a bug'))
      return
    case 'loop':
      for (;;);
    case 'memory': {
      const held: unknown[] = []
      for (;;) held.push(new Array(100_000).fill({}))
    }
  }
}

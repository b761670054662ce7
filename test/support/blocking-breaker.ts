/**
 * Loaded into the blocking thread by `--import`: a call that asks for it breaks the thread, as a bug in it would. In the
 * thread that waits it does nothing.
 */
import type { MessagePort } from 'node:worker_threads'
import { isMainThread, workerData } from 'node:worker_threads'

const { port } = (workerData ?? {}) as { port?: MessagePort }

if (!isMainThread && port) {
  // Behind the thread's own listener: the first one takes what has come before.
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

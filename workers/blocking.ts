/** The entry of the blocking thread, which runs the calls of a thread that waits in `generate()`. */
import { workerData } from 'node:worker_threads'
import type { BlockingStart } from '../src/blocking/protocol.ts'
import { runCalls } from '../src/blocking/thread/run-calls.ts'

runCalls(workerData as BlockingStart)

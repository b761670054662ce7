/**
 * The simulator in a thread of its own, for tests that block their own thread. A prompt that is JSON is itself the
 * script of its reply, faults included.
 */
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { startSimulator } from 'convoke/simulator'
import type { RequestRecord, ScriptedReply, Simulator, SimulatorOptions } from 'convoke/simulator'

export interface RemoteSimulator extends AsyncDisposable {
  baseURL(provider: string): string
  /** A copy of the requests so far. */
  requests(): Promise<RequestRecord[]>
  openStreams(): Promise<number>
}

type Question = 'requests' | 'openStreams'

/** Starts a simulator. Its options must not contain functions, because they are copied to the thread. */
export async function simulatorThread(options: SimulatorOptions = {}): Promise<RemoteSimulator> {
  const worker = new Worker(new URL(import.meta.url), { workerData: options })
  const ask = async (question: Question): Promise<unknown> => {
    worker.postMessage(question)
    return ((await once(worker, 'message')) as [unknown])[0]
  }
  const [url] = (await once(worker, 'message')) as [string]
  worker.unref()
  return {
    baseURL: (provider) => (provider === 'openai' ? `${url}/v1` : url),
    requests: async () => (await ask('requests')) as RequestRecord[],
    openStreams: async () => (await ask('openStreams')) as number,
    [Symbol.asyncDispose]: async () => void (await worker.terminate()),
  }
}

/** The prompt that gets this reply. */
export function answeredBy(reply: ScriptedReply): string {
  return JSON.stringify(reply)
}

async function serve(options: SimulatorOptions): Promise<void> {
  const simulator: Simulator = await startSimulator({
    reply: ({ prompt }) => (prompt.startsWith('{') ? (JSON.parse(prompt) as ScriptedReply) : {}),
    ...options,
  })
  parentPort?.on('message', (question: Question) =>
    parentPort?.postMessage(structuredClone(simulator[question])),
  )
  parentPort?.postMessage(simulator.url)
}

if (!isMainThread && workerData) await serve(workerData as SimulatorOptions)

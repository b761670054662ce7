/**
 * The simulator in a thread of its own, for tests whose own thread blocks. A prompt that is JSON says itself how it is
 * answered, faults included.
 */
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { startSimulator } from 'convoke/simulator'
import type { RequestRecord, ScriptedReply, Simulator, SimulatorOptions } from 'convoke/simulator'

export interface RemoteSimulator extends AsyncDisposable {
  baseURL(provider: string): string
  /** What it was asked so far, as plain data. */
  requests(): Promise<RequestRecord[]>
  openStreams(): Promise<number>
}

type Question = 'requests' | 'openStreams'

/** Options that are plain data. */
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

/** A prompt that says how it is answered. */
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

/** What tests of combinators share: a simulator for each vendor's part, its LLM, and what became of requests. */
import assert from 'node:assert/strict'
import { createLLM } from 'convoke'
import type { LLM, LLMOptions, ResponseStream, StreamChunk } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator, SimulatorOptions } from 'convoke/simulator'
import type { TestContext } from 'vitest'

export { rejected as failure, thrown } from './errors-kit.ts'

export interface Member {
  llm: LLM
  simulator: Simulator
}

/** An LLM of a vendor, over a simulator of its own; both are closed with the test. */
export async function open(
  context: TestContext,
  provider: string,
  options: LLMOptions,
  simulated: SimulatorOptions = {},
): Promise<Member> {
  const simulator = await startSimulator(simulated)
  const llm = createLLM(provider, {
    model: 'test-model',
    apiKey: 'sk-test-0123456789',
    baseURL: simulator.baseURL(provider),
    retry: { attempts: 1 },
    ...options,
  })
  context.onTestFinished(async () => {
    await llm.close()
    await simulator.close()
  })
  return { llm, simulator }
}

/** One that is told from others by its model and its replies. */
export function member(
  context: TestContext,
  provider: string,
  simulated: SimulatorOptions = {},
  options: LLMOptions = {},
): Promise<Member> {
  const own = { model: `${provider}-model`, ...options }
  return open(context, provider, own, { reply: `from ${provider}`, ...simulated })
}

/** One of OpenAI's and one of Anthropic's: `a` and `b`. */
export async function pair(context: TestContext, a: SimulatorOptions = {}, b: SimulatorOptions = {}) {
  return { a: await member(context, 'openai', a), b: await member(context, 'anthropic', b) }
}

export const pause = (delayMs: number) => new Promise((resolve) => setTimeout(resolve, delayMs))

/** The types of a stream's chunks and its text from the last reset on. */
export async function read(
  stream: ResponseStream,
): Promise<{ types: string[]; text: string; chunks: StreamChunk[] }> {
  const types: string[] = []
  const chunks: StreamChunk[] = []
  let text = ''
  for await (const chunk of stream) {
    const { type, content } = chunk
    chunks.push(chunk)
    if (types.at(-1) !== type) types.push(type)
    text = type === 'reset' ? '' : text + content
  }
  return { types, text, chunks }
}

/** Waits until the socket of the last request is closed, which the client must have done. */
export async function untilClosed(simulator: Simulator): Promise<void> {
  while (simulator.requests.at(-1)?.endedAt === undefined) await pause(5)
  assert.equal(simulator.requests.at(-1)?.outcome, 'client-closed')
}

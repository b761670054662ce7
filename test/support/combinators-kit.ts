/** Members for the tests of combinators: LLMs, each with a simulator of its own, and helpers to read streams. */
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

/** Makes an LLM of a provider, with a simulator of its own. Both are closed after the test. */
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

/** Makes a member whose model and replies contain the provider's name, so that members can be told apart. */
export function member(
  context: TestContext,
  provider: string,
  simulated: SimulatorOptions = {},
  options: LLMOptions = {},
): Promise<Member> {
  const own = { model: `${provider}-model`, ...options }
  return open(context, provider, own, { reply: `from ${provider}`, ...simulated })
}

/** Makes two members: `a` of OpenAI and `b` of Anthropic. */
export async function pair(context: TestContext, a: SimulatorOptions = {}, b: SimulatorOptions = {}) {
  return { a: await member(context, 'openai', a), b: await member(context, 'anthropic', b) }
}

export const pause = (delayMs: number) => new Promise((resolve) => setTimeout(resolve, delayMs))

/** Reads a stream: its chunks, their types without repetitions, and the text after the last reset. */
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

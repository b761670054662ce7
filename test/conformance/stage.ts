/** The subject of the contract, its scenarios, and helpers of the cases. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { isConvokeError } from 'convoke'
import type { ConvokeError, LLM, LLMOptions, StreamChunk } from 'convoke'
import type { Fault, ScriptedReply } from 'convoke/simulator'

/** What the vendor does: the reply to every request, and a fault for each of the first requests. */
export interface Scenario {
  /** The reply to each request that no fault strikes. */
  reply: ScriptedReply
  /** Faults, one for each of the first requests. @default none */
  faults?: Fault[]
  /** Milliseconds between the events of a stream. */
  paceMs?: number
}

/** An LLM whose vendor plays a scenario. */
export interface Stage {
  /** The LLM to call. */
  llm: LLM
  /** The requests that the vendor has got, oldest first. */
  requests(): { body: unknown; isClosedByClient: boolean }[]
  /** Closes the LLM and its vendor. */
  close(): Promise<void>
}

/** The provider under test. */
export interface Subject {
  /** The provider's name. */
  name: string
  /** Starts a vendor that plays the scenario, and an LLM that asks it. */
  open(scenario: Scenario, options?: LLMOptions): Promise<Stage>
  /** The vendor's capabilities. Cases of capabilities that are `false` are left out. @default all */
  has?: { reasoning?: boolean; tools?: boolean; partialArguments?: boolean; models?: boolean }
}

/** The API key that subjects pass to their LLM. No error and no log may show it. */
export const secretKey = 'sk-conformance-0123456789abcdef'

export type Cases = [name: string, run: () => Promise<void>][]

export const plain = 'The quick brown fox jumps over the lazy dog, twice a day.'
export const quick = { retry: { attempts: 1 } }

export async function play(
  subject: Subject,
  scenario: Scenario,
  act: (stage: Stage) => Promise<void>,
  options?: LLMOptions,
): Promise<void> {
  const stage = await subject.open(scenario, options)
  try {
    await act(stage)
  } finally {
    await stage.close()
  }
}

export async function all(stream: AsyncIterable<StreamChunk>): Promise<StreamChunk[]> {
  const chunks: StreamChunk[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

/** The error of a promise. It must be a ConvokeError. */
export async function failure(promise: Promise<unknown>): Promise<ConvokeError> {
  const error: unknown = await promise.then(
    (value) => assert.fail(`no error, but ${inspect(value)}`),
    (reason: unknown) => reason,
  )
  assert.ok(isConvokeError(error), inspect(error))
  return error
}

/** Waits until a claim is true. The limit is generous, since a busy machine may run the test late. */
export async function until(claim: () => boolean, what: string): Promise<void> {
  const limitMs = 10_000
  const deadline = performance.now() + limitMs
  while (!claim()) {
    assert.ok(performance.now() < deadline, `not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

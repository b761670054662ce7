/**
 * The provider contract as tests: what every provider must do, whichever vendor it is for. Public as
 * `convoke/conformance`, for people who write a provider. It imports no test runner and works with any of them:
 *
 *     import { test } from 'vitest' // or 'node:test', or '@jest/globals'
 *     import { simulatedSubject, testProvider } from 'convoke/conformance'
 *
 *     testProvider(simulatedSubject('my-vendor', { wire: 'openai' }), test)
 *
 * A subject opens an LLM over a server that does what a scenario says. `simulatedSubject` makes one for a provider
 * whose wire protocol the simulator speaks. `providerContract` gives the cases alone, for a runner of another kind.
 */
import { createLLM } from 'convoke'
import type { LLM, LLMOptions } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import { cutArguments, models, reasoning, tools } from './conformance/capabilities.ts'
import { cancels } from './conformance/cancels.ts'
import { endings } from './conformance/endings.ts'
import { replies } from './conformance/replies.ts'
import { secretKey } from './conformance/stage.ts'
import type { Subject } from './conformance/stage.ts'
import { statuses } from './conformance/statuses.ts'

export { secretKey } from './conformance/stage.ts'
export type { Scenario, Stage, Subject } from './conformance/stage.ts'

/** A case of the contract. It passes when `run` resolves, and fails when it rejects. */
export interface ContractCase {
  /** The behaviour that the case holds, to name a test by. */
  name: string
  /** Runs the case. Rejects with an assertion error where the provider breaks the contract. */
  run: () => Promise<void>
}

/** What declares a test in node:test, vitest and jest. */
export type DeclareTest = (name: string, run: () => Promise<void>) => unknown

/** A subject over the simulator. `wire` is the vendor whose protocol the provider speaks. @default its name */
export function simulatedSubject(
  name: string,
  options: { wire?: string; create?: (options: LLMOptions) => LLM; has?: Subject['has'] } = {},
): Subject {
  const { wire = name, create = (given) => createLLM(name, given), has } = options
  return {
    name,
    ...(has ? { has } : {}),
    async open({ reply, faults = [], paceMs = 0 }, given = {}) {
      const simulator = await startSimulator({ reply, paceMs })
      for (const fault of faults) simulator.failNext(fault)
      const llm = create({
        model: 'test-model',
        apiKey: secretKey,
        baseURL: simulator.baseURL(wire),
        ...given,
      })
      return {
        llm,
        requests: () =>
          simulator.requests.map(({ body, outcome }) => ({
            body,
            isClosedByClient: outcome === 'client-closed',
          })),
        async close() {
          await llm.close()
          await simulator.close()
        },
      }
    },
  }
}

/**
 * Declares every case of the contract as a test.
 * @param test the function of the test runner
 * @default the global `test`, which jest has, and vitest where `globals` is set
 * @throws TypeError when no function is given and there is no global one
 */
export function testProvider(subject: Subject, test?: DeclareTest): void {
  const declare = test ?? (globalThis as { test?: unknown }).test
  if (typeof declare !== 'function')
    throw new TypeError("No global test(). Pass your test runner's function: testProvider(subject, test).")
  for (const { name, run } of providerContract(subject)) (declare as DeclareTest)(name, () => run())
}

/** Every case of the contract for one subject. */
export function providerContract(subject: Subject): ContractCase[] {
  const has = { reasoning: true, tools: true, partialArguments: true, models: true, ...subject.has }
  const cases: [name: string, run: () => Promise<void>, isWanted?: boolean][] = [
    ...replies(subject),
    ...endings(subject),
    ...statuses(subject),
    ...cancels(subject),
    ['reasoning comes apart from the text', () => reasoning(subject), has.reasoning],
    ['tool calls come whole, one and several, streamed and plain', () => tools(subject), has.tools],
    [
      'arguments that are cut off are never a normal-looking call',
      () => cutArguments(subject),
      has.partialArguments,
    ],
    ['the vendor lists its models', () => models(subject), has.models],
  ]
  return cases
    .filter(([, , isWanted]) => isWanted !== false)
    .map(([name, run]) => ({ name: `${subject.name}: ${name}`, run }))
}

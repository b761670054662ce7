/**
 * The provider contract as tests that every provider must pass. Public as `convoke/conformance`, for authors of
 * providers: pass a subject, and run each case with any test runner.
 *
 *     for (const { name, run } of providerContract(subject)) test(name, run)
 *
 * A subject is a provider with a server that plays scenarios. `simulatedSubject` makes one for a provider whose wire
 * protocol the simulator speaks.
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

/** One case of the contract. */
export interface ContractCase {
  /** The behaviour that the case holds, to name a test by. */
  name: string
  /** Runs the case. Rejects with an assertion error where the provider breaks the contract. */
  run: () => Promise<void>
}

/**
 * Makes a subject that uses the simulator.
 * @param name the provider's name
 * @param options `wire`: the vendor whose protocol the provider speaks; `create`: makes the LLM; `has`: see `Subject`
 */
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

/** Returns all cases of the contract for one subject. Cases of capabilities that the subject lacks are left out. */
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

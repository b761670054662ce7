/** Members for the tests of fan-outs and consensus: real SDKs, and one simulator with a script for each model. */
import assert from 'node:assert/strict'
import { createLLM } from 'convoke'
import type { LLM, LLMOptions } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Fault, Reply, ScriptedReply, SimulatedRequest, Simulator } from 'convoke/simulator'

const vendors = ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']

/** The reply of a member, its fault, or a function of the request. */
export type Script = Reply | { fault: Fault } | ((request: SimulatedRequest) => Reply)

export interface Panel extends AsyncDisposable {
  simulator: Simulator
  /** The members by name. Their vendors alternate. */
  llms: Record<string, LLM>
  /** The prompts that a member got, oldest first. */
  prompts(name: string): string[]
  llm(name: string): LLM
}

export async function panel(scripts: Record<string, Script>, options: LLMOptions = {}): Promise<Panel> {
  const simulator = await startSimulator({
    reply: (request) => {
      const script = scripts[request.model]
      return typeof script === 'function' ? script(request) : ((script ?? {}) as ScriptedReply)
    },
  })
  const names = Object.keys(scripts)
  const llms = Object.fromEntries(
    names.map((name, at) => {
      const vendor = vendors[at % vendors.length] as string
      const baseURL = simulator.baseURL(vendor)
      const once = { retry: { attempts: 1 }, ...options }
      return [name, createLLM(vendor, { model: name, apiKey: 'simulated', baseURL, ...once })]
    }),
  )
  return {
    simulator,
    llms,
    prompts: (name) => simulator.requests.filter(({ model }) => model === name).map(({ prompt }) => prompt),
    llm: (name) => {
      assert.ok(llms[name], name)
      return llms[name]
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(Object.values(llms).map((llm) => llm.close()))
      await simulator.close()
    },
  }
}

/** Waits until no request is being answered. */
export async function untilQuiet(simulator: Simulator): Promise<void> {
  while (simulator.requests.some(({ outcome }) => outcome === 'open'))
    await new Promise((resolve) => setTimeout(resolve, 5))
}

export const hang: ScriptedReply = { text: 'too late', latencyMs: 3_600_000 }

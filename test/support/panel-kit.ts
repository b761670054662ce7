/** Members for tests of many answers: real SDKs over sockets, each model answered as its test says. */
import assert from 'node:assert/strict'
import { createLLM } from 'convoke'
import type { LLM, LLMOptions } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Fault, Reply, ScriptedReply, SimulatedRequest, Simulator } from 'convoke/simulator'

const vendors = ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']

/** What a member says, or what goes wrong with it; a function sees what it was asked. */
export type Script = Reply | { fault: Fault } | ((request: SimulatedRequest) => Reply)

export interface Panel extends AsyncDisposable {
  simulator: Simulator
  /** By name, in order, over the vendors in turn. */
  llms: Record<string, LLM>
  /** What one of them was asked, each time. */
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

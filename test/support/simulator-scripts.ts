/** Scripted replies for the tests of the simulator, the same for every vendor. */
import type { ScriptedReply } from '../../src/simulator/index.ts'

export const messages = [{ role: 'user' as const, content: 'Hi' }]
export const model = 'model-1'
export const CALLS: ScriptedReply = {
  text: 'I will look.',
  toolCalls: [
    {
      id: 'call-1',
      name: 'weather',
      arguments: { city: 'Zürich', days: [1, 2] },
    },
    { id: 'call-2', name: 'time', arguments: {} },
  ],
}
export const REASONED: ScriptedReply = { text: 'Four.', reasoning: 'Two and two…', signature: 'c2lnbmVk' }
export const USED: ScriptedReply = {
  text: 'Four.',
  reasoning: 'Hm.',
  usage: { inputTokens: 100, outputTokens: 50, cachedInputTokens: 30, reasoningTokens: 20 },
}

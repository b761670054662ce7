/** The simulator's replies to the examples: what a vendor could answer to each. */
import type { ScriptedReply, SimulatedRequest } from 'convoke/simulator'

export function reply({ prompt, tools, messages }: SimulatedRequest): ScriptedReply {
  const hasResult = messages.some(({ role }) => role === 'tool')
  if (tools.length && !hasResult) return { toolCalls: [{ name: 'weather', arguments: { city: 'Oslo' } }] }
  if (hasResult) return { text: 'It is 4 degrees and snowing in Oslo.' }
  if (/sheep/.test(prompt)) return { text: 'Nine.', reasoning: 'All but nine run away, so nine stay.' }
  if (/as JSON/.test(prompt)) return { text: '{"city":"Paris","inhabitants":2103000}' }
  if (/97/.test(prompt)) return { text: 'Yes.' }
  if (/capital/.test(prompt)) return { text: 'Paris.' }
  if (/picture/.test(prompt)) return { text: 'A single red dot.' }
  if (/my name\?/.test(prompt)) return { text: 'Alice.' }
  if (/square root/.test(prompt)) return { text: 'Nine.' }
  if (/long story/.test(prompt))
    return { text: 'And then it rained, and nobody minded. '.repeat(50), paceMs: 2 }
  if (/story/.test(prompt)) return { text: 'Once upon a time a stream ended, and it said so.', paceMs: 5 }
  return { text: 'Hello! How can I help?' }
}

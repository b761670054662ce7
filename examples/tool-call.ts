/** A tool call: the model asks for a tool, the script runs it, and the model answers with the result. */
import { createLLM } from 'convoke'
import type { Message } from 'convoke'

const llm = createLLM('anthropic/claude-haiku-4-5', {
  tools: [
    {
      name: 'weather',
      description: 'The weather in a city',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  ],
})
const messages: Message[] = [{ role: 'user', content: 'How is the weather in Oslo?' }]
const first = await llm.agenerate(messages)
messages.push(first.message)

for (const { id, name, arguments: input } of first.toolCalls) {
  console.log(`${name}(${JSON.stringify(input)})`)
  // A real program would look the weather up here.
  messages.push({ role: 'tool', toolCallId: id, content: { degrees: 4, sky: 'snow' } })
}
console.log((await llm.agenerate(messages)).content)

/** A provider of your own: write one method, and retries, time-outs, usage and streams come with it. */
import { createLLM } from 'convoke'
import { registerProvider } from 'convoke/provider'

registerProvider('parrot', () => ({
  name: 'parrot',
  async *stream({ messages, model }) {
    yield { type: 'start', content: '', model }
    const last = messages.at(-1)?.content[0]
    const words = last?.type === 'text' ? last.text.split(' ') : []
    for (const word of words) yield { type: 'text', content: `${word}! ` }
    yield { type: 'finish', content: '', finishReason: 'stop' }
  },
}))

const { content, usage } = await createLLM('parrot/green').agenerate('Polly wants a cracker')
console.log(content, usage)

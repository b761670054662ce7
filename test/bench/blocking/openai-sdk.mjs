/**
 * Calls with OpenAI's bare SDK. This file is JavaScript, because its time is measured from the first line, and
 * stripping types would take a thread 40 ms; convoke is measured built. The SDK is imported by its path, to get the
 * copy that convoke wraps, because the peers install another version into this folder.
 */
import { OpenAI } from '../../../node_modules/openai/index.mjs'

export function createCaller(baseURL, model) {
  const client = new OpenAI({ apiKey: 'key', baseURL, maxRetries: 0 })
  const request = (content) => ({ model, messages: [{ role: 'user', content }] })
  return {
    ask: async (prompt) => {
      const { choices } = await client.chat.completions.create(request(prompt))
      return choices[0]?.message.content ?? ''
    },
    stream: async (prompt, onText) => {
      for await (const chunk of await client.chat.completions.create({ ...request(prompt), stream: true }))
        onText(chunk.choices[0]?.delta.content ?? '')
    },
  }
}

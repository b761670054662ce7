/**
 * Calls by OpenAI's SDK as it is. Plain JavaScript, as all that is measured from its first line: types would have to be
 * stripped first, which takes a thread 40 ms, and convoke is measured built. The SDK by its path, the very copy that
 * convoke wraps: the peers bring a version of their own into this folder.
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

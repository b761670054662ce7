/** Local servers with OpenAI's API: presets such as `lmstudio` know the address, `openai-compatible` takes any. */
import { createLLM } from 'convoke'

const baseURL = process.env['OPENAI_BASE_URL'] ?? 'http://127.0.0.1:8080/v1'
const lmstudio = createLLM('lmstudio', { model: 'qwen3-8b', baseURL })
const mine = createLLM('openai-compatible', { name: 'my-server', model: 'my-model', baseURL })

for (const llm of [lmstudio, mine]) {
  const { provider, content } = await llm.agenerate('Hello')
  console.log(`${provider}: ${content}`)
}

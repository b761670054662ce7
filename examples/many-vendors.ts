/** Five vendors at once: calls do not block each other, so Promise.all is enough. */
import { createLLM } from 'convoke'

const llms = [
  createLLM('openai/gpt-4o-mini'),
  createLLM('anthropic/claude-haiku-4-5'),
  createLLM('gemini/gemini-2.5-flash'),
  createLLM('cohere/command-a-03-2025'),
  createLLM('ollama/llama3.2'),
]
const replies = await Promise.all(llms.map((llm) => llm.agenerate('What is the capital of France?')))

for (const { provider, model, content } of replies) console.log(`${provider} (${model}): ${content}`)

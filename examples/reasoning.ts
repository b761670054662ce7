/** Reasoning: the model's thinking arrives separately from its answer, and is printed dimmed. */
import { styleText } from 'node:util'
import { createLLM } from 'convoke'

const llm = createLLM('ollama/qwen3', { reasoning: true })

for await (const chunk of llm.stream(
  'A farmer has 17 sheep, all but nine run away. How many sheep are left?',
)) {
  if (chunk.type === 'reasoning') process.stdout.write(styleText('dim', chunk.reasoning))
  else process.stdout.write(chunk.content)
}
console.log()

/** Ollama's models: pull one and show the progress, list all, delete it. */
import { createLLM } from 'convoke'

const ollama = createLLM('ollama')

for await (const { status, completedBytes, totalBytes } of ollama.pullModel('tinyllama')) {
  console.log(totalBytes ? `${status} ${(((completedBytes ?? 0) / totalBytes) * 100).toFixed(0)} %` : status)
}
console.log((await ollama.listModels()).map(({ id }) => id).join(', '))
await ollama.deleteModel('tinyllama')

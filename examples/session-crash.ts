/** A process is killed in the middle of a reply: what is left, and how it goes on. */
import { spawn } from 'node:child_process'
import { createLLM, createSession } from 'convoke'

const store = process.env['CHAT_DB'] ?? 'chat.db'
const session = createSession(createLLM('openai/gpt-4o-mini'), { store, id: 'crash' })

if (process.argv[2] === 'tell') {
  for await (const { content } of session.stream('Tell me a very long story.')) process.stdout.write(content)
} else {
  const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, 'tell'])
  let heard = ''
  child.stdout.on('data', (text: Buffer) => {
    heard += text.toString()
    if (heard.length > 400) child.kill('SIGKILL')
  })
  await new Promise((resolve) => child.on('close', resolve))

  const last = (await session.history()).at(-1)
  const text = last?.content.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? ''
  console.log(`killed; kept: ${last?.status}, ${text.length > 100 ? 'most of what was told' : 'nothing'}`)

  const reply = await session.resume()
  console.log(`resumed: ${reply.finishReason}, ${reply.content.length} characters`)
  await session.delete()
  await session.close()
}

/** A crash: a process is killed in the middle of a reply. The text so far is stored, and the session resumes. */
import { spawn } from 'node:child_process'
import { createLLM, createSession } from 'convoke'

const store = process.env['CHAT_DB'] ?? 'chat.db'
const session = createSession(createLLM('openai/gpt-4o-mini'), { store, id: 'crash' })

if (process.argv[2] === 'tell') {
  for await (const { content } of session.stream('Tell me a very long story.')) process.stdout.write(content)
} else {
  const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, 'tell'])
  let received = ''
  child.stdout.on('data', (text: Buffer) => {
    received += text.toString()
    if (received.length > 400) child.kill('SIGKILL')
  })
  await new Promise((resolve) => child.on('close', resolve))

  const last = (await session.history()).at(-1)
  const text = last?.content.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? ''
  console.log(`killed; kept: ${last?.status}, ${text.length > 100 ? 'most of the text' : 'nothing'}`)

  const reply = await session.resume()
  console.log(`resumed: ${reply.finishReason}, ${reply.content.length} characters`)
  await session.delete()
  await session.close()
}

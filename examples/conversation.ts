/** A conversation: each call sends all messages so far. `first.message` is the reply as a message. */
import { createLLM } from 'convoke'
import type { Message } from 'convoke'

const llm = createLLM('cohere/command-a-03-2025', { system: 'Be brief.' })
const messages: Message[] = [{ role: 'user', content: 'What is the capital of France?' }]

const first = await llm.agenerate(messages)
messages.push(first.message, { role: 'user', content: 'Tell me a story about it.' })
const second = await llm.agenerate(messages)

console.log(first.content)
console.log(second.content)

/** Pictures: pass a URL, base64 text or bytes, the same way for every vendor whose model can see. */
import { createLLM } from 'convoke'

const redDot = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==',
  'base64',
)
for (const name of ['openai/gpt-4o-mini', 'anthropic/claude-haiku-4-5', 'gemini/gemini-2.5-flash']) {
  const reply = await createLLM(name).agenerate({
    role: 'user',
    content: [
      { type: 'text', text: 'What is in this picture?' },
      { type: 'image', image: redDot },
    ],
  })
  console.log(`${name}: ${reply.content}`)
}

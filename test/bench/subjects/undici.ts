/** The lower bound: requests with undici alone, without an SDK, checks, retries or time-outs, with minimal decoding. */
import { createRequire } from 'node:module'
import { models } from '../scenarios.ts'
import type { CreateSubject } from './subject.ts'

// The copy of the repository, because the peers install others into this folder.
const require = createRequire(new URL('../../../package.json', import.meta.url))
const { Agent } = require('undici') as typeof import('undici')

interface Reply {
  choices: { message?: { content: string }; delta?: { content?: string } }[]
}

const openai: CreateSubject = (baseURL) => {
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 })
  const { origin, pathname } = new URL(`${baseURL}/chat/completions`)
  const post = (content: string, stream: boolean, onData: (text: string) => void) =>
    new Promise<void>((resolve, reject) => {
      const decoder = new TextDecoder()
      const body = JSON.stringify({ model: models.openai, messages: [{ role: 'user', content }], stream })
      const headers = { 'content-type': 'application/json', authorization: 'Bearer key' }
      agent.dispatch(
        { origin, path: pathname, method: 'POST', headers, body },
        {
          onRequestStart: () => undefined, // undici recognises a handler by this method
          onResponseStart: (_controller, status) => {
            if (status !== 200) reject(new Error(`status ${status}`))
          },
          onResponseData: (_controller, piece) => onData(decoder.decode(piece, { stream: true })),
          onResponseEnd: () => resolve(),
          onResponseError: (_controller, error) => reject(error),
        },
      )
    })
  return Promise.resolve({
    ask: async (prompt) => {
      let text = ''
      await post(prompt, false, (piece) => (text += piece))
      return (JSON.parse(text) as Reply).choices[0]?.message?.content ?? ''
    },
    stream: async (prompt, onText) => {
      let rest = ''
      await post(prompt, true, (piece) => {
        const events = (rest + piece).split('\n\n')
        rest = events.pop() ?? ''
        for (const event of events) {
          if (event === 'data: [DONE]') continue
          onText((JSON.parse(event.slice(6)) as Reply).choices[0]?.delta?.content ?? '')
        }
      })
    },
  })
}

export const subjects = { openai }

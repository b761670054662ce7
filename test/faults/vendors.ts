/**
 * The five vendors: an LLM of each for any address, and the bytes of their replies, for the servers of the fault tests.
 */
import { createLLM } from 'convoke'
import type { LLM, LLMOptions } from 'convoke'

export type Vendor = 'openai' | 'anthropic' | 'gemini' | 'cohere' | 'ollama'

export const vendors: readonly Vendor[] = ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']

const apiKey = 'sk-campaign-0123456789abcdef'

/** Makes an LLM whose vendor answers at `url`, which may have a path. */
export function openLLM(vendor: Vendor, url: string, options: LLMOptions = {}): LLM {
  const baseURL = vendor === 'openai' ? `${url}/v1` : url
  return createLLM(vendor, { model: 'test-model', apiKey, baseURL, ...options })
}

/** The vendor of a request, and whether it asks for a stream. */
export function understand(path: string, body: string): { vendor: Vendor; isStream: boolean } {
  const isStream = /"stream":true/.test(body)
  if (path.includes('/chat/completions')) return { vendor: 'openai', isStream }
  if (path.includes('/v1/messages')) return { vendor: 'anthropic', isStream }
  if (path.includes('enerateContent'))
    return { vendor: 'gemini', isStream: path.includes(':streamGenerateContent') }
  if (path.includes('/v2/chat')) return { vendor: 'cohere', isStream }
  return { vendor: 'ollama', isStream: !/"stream":false/.test(body) }
}

/** The bytes of a stream: its beginning, an event for each piece of text, and its end. */
export interface WireStream {
  contentType: string
  head: string
  text(piece: string): string
  /** The events at the end, with the vendor's terminal event. */
  tail: string
  /** Bytes that a proxy may send to keep the connection open. */
  comment: string
  /** An error event in the vendor's format. */
  error(message: string): string
}

const data = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`
const named = (name: string, value: object) =>
  `event: ${name}\ndata: ${JSON.stringify({ type: name, ...value })}\n\n`
const sse = { contentType: 'text/event-stream', comment: ': keep-alive\n\n' }
const line = (value: unknown) => `${JSON.stringify(value)}\n`
const choice = (delta: object, finish: string | null) => ({
  id: 'c',
  model: 'test-model',
  choices: [{ index: 0, delta, finish_reason: finish }],
})
const candidate = (text: string, more: object = {}) => ({
  candidates: [{ content: { role: 'model', parts: [{ text }] }, ...more }],
})
const ollama = (content: string, more: object = {}) => ({
  model: 'test-model',
  message: { role: 'assistant', content },
  done: false,
  ...more,
})

export const streams: Record<Vendor, WireStream> = {
  openai: {
    ...sse,
    head: data(choice({ role: 'assistant', content: '' }, null)),
    text: (piece) => data(choice({ content: piece }, null)),
    tail: `${data(choice({}, 'stop'))}data: [DONE]\n\n`,
    error: (message) => data({ error: { message, type: 'server_error' } }),
  },
  anthropic: {
    ...sse,
    head:
      named('message_start', {
        message: {
          id: 'm',
          type: 'message',
          role: 'assistant',
          model: 'test-model',
          content: [],
          usage: { input_tokens: 1, output_tokens: 1 },
        },
      }) + named('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    text: (piece) => named('content_block_delta', { index: 0, delta: { type: 'text_delta', text: piece } }),
    tail:
      named('content_block_stop', { index: 0 }) +
      named('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 9 } }) +
      named('message_stop', {}),
    error: (message) => named('error', { error: { type: 'api_error', message } }),
  },
  gemini: {
    ...sse,
    head: '',
    text: (piece) => data(candidate(piece)),
    tail: data(candidate('', { finishReason: 'STOP' })),
    error: (message) => data({ error: { code: 500, message, status: 'INTERNAL' } }),
  },
  cohere: {
    ...sse,
    head:
      named('message-start', { id: 'c', delta: { message: { role: 'assistant', content: [] } } }) +
      named('content-start', {
        index: 0,
        delta: { message: { content: { type: 'text', text: '' } } },
      }),
    text: (piece) => named('content-delta', { index: 0, delta: { message: { content: { text: piece } } } }),
    tail:
      named('content-end', { index: 0 }) +
      named('message-end', {
        delta: { finish_reason: 'COMPLETE', usage: { tokens: { input_tokens: 1, output_tokens: 9 } } },
      }),
    error: (message) => named('message-end', { delta: { finish_reason: 'ERROR', error: message } }),
  },
  ollama: {
    contentType: 'application/x-ndjson',
    comment: ': keep-alive\n',
    head: '',
    text: (piece) => line(ollama(piece)),
    tail: line(ollama('', { done: true, done_reason: 'stop' })),
    error: (message) => line({ error: message }),
  },
}

/** The bytes of a whole stream with these pieces of text. */
export function streamOf(vendor: Vendor, pieces: readonly string[]): string {
  const { head, text, tail } = streams[vendor]
  return head + pieces.map(text).join('') + tail
}

/** The body of a reply without streaming. */
export function plainOf(vendor: Vendor, text: string): string {
  return JSON.stringify(plainBody(vendor, text))
}

function plainBody(vendor: Vendor, text: string): object {
  switch (vendor) {
    case 'openai':
      return {
        id: 'c',
        model: 'test-model',
        choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
      }
    case 'anthropic':
      return {
        id: 'm',
        type: 'message',
        role: 'assistant',
        model: 'test-model',
        content: [{ type: 'text', text }],
        stop_reason: 'end_turn',
        usage: { input_tokens: 1, output_tokens: 9 },
      }
    case 'gemini':
      return candidate(text, { finishReason: 'STOP' })
    case 'cohere':
      return {
        id: 'c',
        finish_reason: 'COMPLETE',
        message: { role: 'assistant', content: [{ type: 'text', text }] },
        usage: { tokens: { input_tokens: 1, output_tokens: 9 } },
      }
    case 'ollama':
      return ollama(text, { done: true, done_reason: 'stop' })
    default:
      return vendor satisfies never
  }
}

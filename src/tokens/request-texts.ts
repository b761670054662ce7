/** Collects the parts of a request that its model reads as tokens. */
import type { ChatRequest } from '../provider.ts'

/** The fields of a request that become input tokens. */
export type CountedRequest = Pick<ChatRequest, 'model' | 'system' | 'messages' | 'tools' | 'outputSchema'>

export interface RequestTexts {
  /** All texts; tools, tool calls and results are among them as JSON, but never the bytes of media. */
  texts: string[]
  /** The number of messages. */
  messages: number
  /** The number of pictures and files. */
  media: number
  /** True when every message is a single text, and there are neither tools nor a schema. */
  isPlain: boolean
}

export function requestTexts(request: CountedRequest): RequestTexts {
  const texts = request.system ? [request.system] : []
  let media = 0
  let isPlain = true
  for (const { content } of request.messages) {
    if (content.length !== 1 || content[0]?.type !== 'text') isPlain = false
    for (const part of content) {
      switch (part.type) {
        case 'text':
        case 'reasoning':
          texts.push(part.text)
          break
        case 'tool-call':
          texts.push(part.name + JSON.stringify(part.arguments))
          break
        case 'tool-result':
          texts.push(typeof part.result === 'string' ? part.result : (JSON.stringify(part.result) ?? ''))
          break
        default:
          media++
      }
    }
  }
  for (const extra of [request.tools?.length ? request.tools : undefined, request.outputSchema]) {
    if (!extra) continue
    texts.push(JSON.stringify(extra))
    isPlain = false
  }
  return { texts, messages: request.messages.length, media, isPlain }
}

/** Token counts where a vendor gave none. */
import { estimateTokenCount } from 'tokenx'
import type { ChatRequest } from './providers/provider.ts'

/** Tokens that a picture or a file is taken for; vendors count by size, within about 250 to 1 600. */
const mediaTokens = 800
/** What a message costs beside its text, on most vendors. */
const messageTokens = 4

/** Tokens of a text, estimated by its characters: within about a tenth on prose, code and Chinese. */
export function estimateTokens(text: string): number {
  return text === '' ? 0 : estimateTokenCount(text)
}

/** Tokens of everything that a request sends, estimated. Bytes of pictures and files are never read as text. */
export function estimateInputTokens(request: ChatRequest): number {
  let tokens = estimateTokens(request.system ?? '')
  for (const { content } of request.messages) {
    tokens += messageTokens
    for (const part of content) {
      switch (part.type) {
        case 'text':
        case 'reasoning':
          tokens += estimateTokens(part.text)
          break
        case 'tool-call':
          tokens += estimateTokens(part.name + JSON.stringify(part.arguments))
          break
        case 'tool-result':
          tokens += estimateTokens(
            typeof part.result === 'string' ? part.result : (JSON.stringify(part.result) ?? ''),
          )
          break
        default:
          tokens += mediaTokens
      }
    }
  }
  return tokens + (request.tools ? estimateTokens(JSON.stringify(request.tools)) : 0)
}

/** Gives a whole response as the chunks of a stream again, for a reply from a store or from a cache. */
import type { AssistantPart, GenerateResponse, StreamChunk } from '../types.ts'

/** The chunks of a response, one for each part. A response that is built from them has the same message. */
export function* chunksOf(response: GenerateResponse): Generator<StreamChunk> {
  const { message, finishReason, rawFinishReason, usage, id, model, refusal } = response
  yield { type: 'start', content: '', ...(id ? { id } : {}), ...(model ? { model } : {}) }
  for (const part of message.content) yield chunkOf(part)
  if (refusal !== undefined) yield { type: 'refusal', content: '', refusal }
  const raw = rawFinishReason === undefined ? {} : { rawFinishReason }
  yield { type: 'finish', content: '', finishReason, ...raw, usage }
}

function chunkOf(part: AssistantPart): StreamChunk {
  switch (part.type) {
    case 'text': {
      const { text, ...rest } = part
      return { ...rest, content: text }
    }
    case 'reasoning': {
      const { text, provider: _provider, ...rest } = part
      return { ...rest, content: '', reasoning: text }
    }
    case 'tool-call': {
      const { type, ...toolCall } = part
      return { type, content: '', toolCall }
    }
    default:
      return part satisfies never
  }
}

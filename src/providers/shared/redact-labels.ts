import type { ProviderChunk } from '../../provider.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'

/** Takes the caller's keys out of the id, the model and the finish reason that a vendor sent. */
export function redactLabels(response: VendorResponse, chunk: ProviderChunk): ProviderChunk {
  if (chunk.type === 'start') {
    const { id, model } = chunk
    return {
      ...chunk,
      ...(id === undefined ? {} : { id: response.redact(id) }),
      ...(model === undefined ? {} : { model: response.redact(model) }),
    }
  }
  if (chunk.type !== 'finish' || chunk.rawFinishReason === undefined) return chunk
  return { ...chunk, rawFinishReason: response.redact(chunk.rawFinishReason) }
}

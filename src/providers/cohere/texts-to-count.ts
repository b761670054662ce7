import type { ChatRequest } from '../../provider.ts'
import { Slices } from '../../tokens/bpe/slices.ts'
import { requestTexts } from '../../tokens/request-texts.ts'
import { refuse } from '../shared/request-parts.ts'

/** The longest text that Cohere tokenizes, in UTF-16 units: https://docs.cohere.com/reference/tokenize. */
const maxTokenizeUnits = 65_536

/**
 * The texts of a request, in pieces that Cohere's endpoint for tokenizing takes. A cut between two pieces makes the
 * count wrong by one token at most.
 * @throws ConvokeError `invalid_request` for images and files, which the endpoint cannot count
 */
export function textsToCount(request: ChatRequest, provider: string): string[] {
  const { texts, media } = requestTexts(request)
  if (media > 0) {
    refuse(
      request,
      provider,
      'Cohere counts the tokens of text only. Leave out images and files, or leave out exact for an estimate.',
    )
  }
  const slices = new Slices([texts.join('\n')], maxTokenizeUnits * 0.9)
  const pieces: string[] = []
  while (!slices.isDone) {
    const slice = slices.next() ?? ''
    for (let at = 0, end; at < slice.length; at = end) {
      end = Math.min(at + maxTokenizeUnits, slice.length)
      // A surrogate pair is not cut, because half of it has no bytes of its own.
      if (end < slice.length && (slice.codePointAt(end - 1) as number) > 0xffff) end--
      pieces.push(slice.slice(at, end))
    }
  }
  return pieces
}

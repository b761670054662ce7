/** Warnings and errors about what a vendor cannot take. */
import { ConvokeError } from '../../errors.ts'
import type { ChatRequest } from '../../provider.ts'

/** Options that a vendor may lack. Dropping one changes the style of a reply, not its meaning. */
type SoftOption =
  'temperature' | 'topP' | 'topK' | 'frequencyPenalty' | 'presencePenalty' | 'seed' | 'metadata' | 'reasoning'

/**
 * Warns of each option in `names` that the request has, because the vendor does not support it.
 * @param vendor the name in the warning
 * @param remedy a sentence that follows the warning
 */
export function warnUnsupported(
  request: ChatRequest,
  vendor: string,
  names: readonly SoftOption[],
  remedy = '',
): void {
  for (const name of names) {
    if (request[name] === undefined) continue
    request.warn({
      type: 'unsupported-option',
      subject: name,
      message: `${vendor} does not support ${name}; the option was left out.${remedy && ` ${remedy}`}`,
    })
  }
}

/** Warns that a part of the request is sent in another form, or not at all. */
export function warnChanged(request: ChatRequest, subject: string, message: string): void {
  request.warn({ type: 'changed', subject, message })
}

/** @throws ConvokeError `invalid_request`, because the vendor cannot take something that the reply depends on */
export function refuse(request: ChatRequest, provider: string, message: string): never {
  throw new ConvokeError('invalid_request', message, { provider, model: request.model })
}

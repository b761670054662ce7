import type { ChatRequest } from '../../provider.ts'

/** Warns that a token budget for reasoning is not sent, because OpenAI's APIs take an effort word instead. */
export function warnOfBudget(request: ChatRequest, provider: string): void {
  request.warn({
    type: 'unsupported-option',
    subject: 'reasoning',
    message: `${provider} takes an effort word for reasoning, not a token budget; the budget was left out.`,
  })
}

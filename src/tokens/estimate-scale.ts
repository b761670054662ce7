/** The ratio between a model's tokens and the estimate of tokenx, which is fitted to OpenAI's models. */

/**
 * Fitted to the output tokens in recorded replies of nothing but text (`test/bench/estimates.ts`), so that the median
 * error is a little above 0: a prompt that is estimated too long is trimmed, but one that is estimated too short is
 * refused by the vendor. Without these factors the error (lowest, median, highest) was -27, -14 and -4 % on 13 replies
 * of Claude up to Opus 4.6, and -34, -4 and +15 % on 14 replies of Gemini.
 */
const scales = { claude: 1.2, gemini: 1.05 }

/**
 * From Opus 4.7 on Claude has another vocabulary, which makes about 1.3 times as many tokens, and up to 1.35:
 * https://platform.claude.com/docs/en/build-with-claude/token-counting and the migration guide next to it. There was no
 * reply to measure it.
 */
const newClaude = 1.35

/**
 * Finds the version in `claude-sonnet-4-5`, `claude-3-haiku` and `claude-2.1`. A date after the name is not a version.
 */
const claudeVersion = /claude-(?:[a-z]+-)?v?(\d{1,2})(?:[-.](\d{1,2})(?!\d))?(?!\d)/

/** The factor for the estimate of tokenx, whichever provider serves the model; 1 for models without measurements. */
export function scaleOf(model: string | undefined): number {
  const name = model?.toLowerCase() ?? ''
  if (name.includes('gemini')) return scales.gemini
  if (!name.includes('claude')) return 1
  return isOldClaude(name) ? scales.claude : scales.claude * newClaude
}

/** Whether the model has the vocabulary from before Opus 4.7. A name without a version counts as new. */
function isOldClaude(name: string): boolean {
  const [, major, minor = '0'] = claudeVersion.exec(name) ?? []
  if (major === undefined) return name.includes('claude-instant')
  return Number(major) * 100 + Number(minor) < 407
}

/** How many tokens a model makes of a text, beside the estimate of tokenx, which is fitted to OpenAI's. */

/**
 * Fitted to the output tokens in recorded replies of text alone (`test/bench/estimates.ts`), so that the error in the
 * middle is a little above 0: what is taken for too long is trimmed, what is taken for too short is refused by the
 * vendor. Without it, 13 replies of Claude up to Opus 4.6 were off by -27, -14 and -4 % (least, middle, most), 14 of Gemini
 * by -34, -4 and +15 %.
 */
const scales = { claude: 1.2, gemini: 1.05 }

/**
 * From Opus 4.7 on Claude reads by another vocabulary, which makes about 1.3 times as many tokens, and up to 1.35:
 * https://platform.claude.com/docs/en/build-with-claude/token-counting, and the migration guide beside it. There was no
 * reply to measure it by.
 */
const newClaude = 1.35

/** `claude-sonnet-4-5`, `claude-3-haiku`, `claude-2.1`; a date behind the name is no version. */
const claudeVersion = /claude-(?:[a-z]+-)?v?(\d{1,2})(?:[-.](\d{1,2})(?!\d))?(?!\d)/

/** What to multiply tokenx's count by, whoever serves the model; 1 where nothing is known. */
export function scaleOf(model: string | undefined): number {
  const name = model?.toLowerCase() ?? ''
  if (name.includes('gemini')) return scales.gemini
  if (!name.includes('claude')) return 1
  return isOldClaude(name) ? scales.claude : scales.claude * newClaude
}

/** A name without a version is taken for new. */
function isOldClaude(name: string): boolean {
  const [, major, minor = '0'] = claudeVersion.exec(name) ?? []
  if (major === undefined) return name.includes('claude-instant')
  return Number(major) * 100 + Number(minor) < 407
}

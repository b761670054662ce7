/** OpenAI's vocabularies, and which model reads which. */

/** A vocabulary of OpenAI's, by the name that tiktoken gives it. */
export type Encoding = 'o200k_base' | 'cl100k_base'

/**
 * Models by the beginning of their names, from the tables of OpenAI's own tiktoken
 * (https://github.com/openai/tiktoken/blob/main/tiktoken/model.py: `MODEL_PREFIX_TO_ENCODING`, `MODEL_TO_ENCODING`).
 * The first that fits counts. gpt-oss reads o200k_harmony: o200k_base with more special tokens, none of them in a text.
 */
const byPrefix: readonly (readonly [RegExp, Encoding])[] = [
  [/^(gpt-4o|chatgpt-4o|gpt-4\.[15]|gpt-5|gpt-oss)(?![a-z0-9])/, 'o200k_base'],
  [/^o[134](?![a-z0-9])/, 'o200k_base'],
  [/^(gpt-4|gpt-3\.5-turbo|gpt-35-turbo)(?![a-z0-9.])/, 'cl100k_base'],
  [/^text-embedding-(ada-002|3-small|3-large)$/, 'cl100k_base'],
  [/^(davinci|babbage)-002(?![a-z0-9])/, 'cl100k_base'],
]

/** Who else serves OpenAI's models says so in front: `openai/gpt-4o`, `openrouter/openai/o3`; fine-tunes begin by `ft:`. */
const servedBy = /^((openrouter|groq|vercel)\/)?((openai|azure)\/)?(ft:)?/

/** The vocabulary of a model, `undefined` where it is not known: its vendor keeps it to itself, or the name is new. */
export function encodingOf(model: string): Encoding | undefined {
  const name = model.toLowerCase().replace(servedBy, '')
  return byPrefix.find(([prefix]) => prefix.test(name))?.[1]
}

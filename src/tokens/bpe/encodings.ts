/** OpenAI's vocabularies, and the models that use them. */

/** The name of an OpenAI vocabulary, as in tiktoken. */
export type Encoding = 'o200k_base' | 'cl100k_base'

/**
 * Models by the beginning of their names, from the tables of OpenAI's own tiktoken
 * (https://github.com/openai/tiktoken/blob/main/tiktoken/model.py: `MODEL_PREFIX_TO_ENCODING`, `MODEL_TO_ENCODING`).
 * The first match wins. gpt-oss uses o200k_harmony, which is o200k_base with more special tokens; texts contain none.
 */
const byPrefix: readonly (readonly [RegExp, Encoding])[] = [
  [/^(gpt-4o|chatgpt-4o|gpt-4\.[15]|gpt-5|gpt-oss)(?![a-z0-9])/, 'o200k_base'],
  [/^o[134](?![a-z0-9])/, 'o200k_base'],
  [/^(gpt-4|gpt-3\.5-turbo|gpt-35-turbo)(?![a-z0-9.])/, 'cl100k_base'],
  [/^text-embedding-(ada-002|3-small|3-large)$/, 'cl100k_base'],
  [/^(davinci|babbage)-002(?![a-z0-9])/, 'cl100k_base'],
]

/**
 * Prefixes of routers and of fine-tunes in front of a model's name: `openai/gpt-4o`, `openrouter/openai/o3`,
 * `ft:gpt-4o`.
 */
const routePrefix = /^((openrouter|groq|vercel)\/)?((openai|azure)\/)?(ft:)?/

/** The vocabulary of a model; undefined when its vendor does not publish it, or when the name is new. */
export function encodingOf(model: string): Encoding | undefined {
  const name = model.toLowerCase().replace(routePrefix, '')
  return byPrefix.find(([prefix]) => prefix.test(name))?.[1]
}

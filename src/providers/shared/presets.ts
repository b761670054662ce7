/** Servers that speak OpenAI's chat API: where they are, whether they want a key, and how their dialects differ. */

/** How a server's chat API differs from OpenAI's. */
export interface Dialect {
  maxTokensField: 'max_tokens' | 'max_completion_tokens'
  seedField: 'seed' | 'random_seed'
  hasTopK: boolean
  /** Whether a stream gives usage only when `stream_options` asks for it. */
  asksForUsage: boolean
  /** Whether every stream ends with `[DONE]`, so that one without it was cut off. */
  needsDone: boolean
  /** Whether its own reasoning goes back to it as `reasoning_content`; OpenAI's chat API has no place for it. */
  takesReasoning: boolean
  /** What ids of tool calls it takes: OpenAI at most 40 characters, Mistral nine letters and digits. */
  callIds: 'any' | 'forty' | 'nine'
  /** `effort`: the field `reasoning_effort`; `object`: OpenRouter's `reasoning`. */
  reasoning: 'effort' | 'object'
}

export interface Preset {
  /** Absent where the user must give it. */
  baseURL?: string
  /** Environment variables that may hold the key, in order. */
  keyVariables: readonly string[]
  /** Whether a call without a key is hopeless. */
  needsKey: boolean
  dialect: Dialect
}

export const openaiDialect: Dialect = {
  maxTokensField: 'max_completion_tokens',
  seedField: 'seed',
  hasTopK: false,
  asksForUsage: true,
  needsDone: true,
  takesReasoning: false,
  callIds: 'forty',
  reasoning: 'effort',
}

const compatible: Dialect = {
  ...openaiDialect,
  maxTokensField: 'max_tokens',
  hasTopK: true,
  takesReasoning: true,
  callIds: 'any',
}

function local(baseURL: string, ...keyVariables: string[]): Preset {
  return { baseURL, keyVariables, needsKey: false, dialect: compatible }
}

function hosted(baseURL: string, keyVariable: string, dialect: Partial<Dialect> = {}): Preset {
  return {
    baseURL,
    keyVariables: [keyVariable],
    needsKey: true,
    dialect: { ...compatible, hasTopK: false, ...dialect },
  }
}

/** By the name that `createLLM` takes. */
export const presets: Readonly<Record<string, Preset>> = {
  lmstudio: local('http://127.0.0.1:1234/v1'),
  mlx: local('http://127.0.0.1:8080/v1'),
  vllm: local('http://127.0.0.1:8000/v1', 'VLLM_API_KEY'),
  llamacpp: local('http://127.0.0.1:8080/v1'),
  // Groq and Mistral answer 400 and 422 to fields that they do not know, `reasoning_content` among them.
  groq: hosted('https://api.groq.com/openai/v1', 'GROQ_API_KEY', { takesReasoning: false }),
  deepseek: hosted('https://api.deepseek.com/v1', 'DEEPSEEK_API_KEY'),
  mistral: hosted('https://api.mistral.ai/v1', 'MISTRAL_API_KEY', {
    seedField: 'random_seed',
    asksForUsage: false,
    takesReasoning: false,
    callIds: 'nine',
  }),
  xai: hosted('https://api.x.ai/v1', 'XAI_API_KEY'),
  openrouter: hosted('https://openrouter.ai/api/v1', 'OPENROUTER_API_KEY', {
    hasTopK: true,
    reasoning: 'object',
  }),
  together: hosted('https://api.together.xyz/v1', 'TOGETHER_API_KEY', { hasTopK: true }),
  'openai-compatible': { keyVariables: [], needsKey: false, dialect: { ...compatible, needsDone: false } },
}

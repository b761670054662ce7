/** The servers that speak OpenAI's chat API: their addresses, whether they need a key, and their dialects. */

/** How a server's chat API differs from OpenAI's. */
export interface Dialect {
  maxTokensField: 'max_tokens' | 'max_completion_tokens'
  seedField: 'seed' | 'random_seed'
  hasTopK: boolean
  /** Whether a stream reports usage only when `stream_options` requests it. */
  asksForUsage: boolean
  /** Whether every stream ends with `[DONE]`, so that a stream without it was cut off. */
  needsDone: boolean
  /** Whether the server takes its own reasoning back as `reasoning_content`. OpenAI's chat API has no such field. */
  takesReasoning: boolean
  /** Which ids of tool calls it takes: OpenAI takes at most 40 characters, Mistral exactly nine letters and digits. */
  callIds: 'any' | 'forty' | 'nine'
  /** `effort`: the field `reasoning_effort`; `object`: OpenRouter's `reasoning`. */
  reasoning: 'effort' | 'object'
}

export interface Preset {
  /** Absent when the user must pass it. */
  baseURL?: string
  /** Environment variables that may hold the key, the first choice first. */
  keyVariables: readonly string[]
  /** Whether the server refuses every call without a key. */
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

/** The presets by the name that `createLLM` takes. */
export const presets: Readonly<Record<string, Preset>> = {
  lmstudio: local('http://127.0.0.1:1234/v1'),
  mlx: local('http://127.0.0.1:8080/v1'),
  vllm: local('http://127.0.0.1:8000/v1', 'VLLM_API_KEY'),
  llamacpp: local('http://127.0.0.1:8080/v1'),
  // Groq answers 400 and Mistral 422 to fields that they do not know, such as `reasoning_content`.
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

/**
 * The names that an editor completes. Types only: any other text is a name as well, since vendors add models every
 * month and `registerProvider` adds providers.
 */

/** Providers that `listProviders()` gives without one of your own. */
type KnownProvider =
  | keyof KnownModels
  | 'openai-compatible'
  | 'openrouter'
  | 'together'
  | 'lmstudio'
  | 'mlx'
  | 'vllm'
  | 'llamacpp'

/**
 * Models that vendors offer for chat: a modest list, not all of them. It was taken on 2026-12-01 from the types of the
 * vendors' SDKs, and for vendors whose SDK has no list from the models that @pydantic/genai-prices 0.1.8 has a price of.
 * A test holds it against both. Those of `ollama` are from https://ollama.com/library, and not tested.
 */
interface KnownModels {
  /** `ChatModel` of openai 7.55 (resources/shared.d.ts). */
  openai:
    | 'gpt-6-sol'
    | 'gpt-6-luna'
    | 'gpt-5.4'
    | 'gpt-5.4-mini'
    | 'gpt-5.4-nano'
    | 'gpt-4.1'
    | 'gpt-4.1-mini'
    | 'gpt-4o'
    | 'gpt-4o-mini'
    | 'o3'
    | 'o4-mini'
  /** `Model` of @anthropic-ai/sdk 1.11 (resources/messages/messages.d.ts). */
  anthropic:
    | 'claude-opus-5-5'
    | 'claude-opus-5'
    | 'claude-sonnet-5-5'
    | 'claude-sonnet-5'
    | 'claude-haiku-5-5'
    | 'claude-opus-4-6'
    | 'claude-sonnet-4-6'
    | 'claude-sonnet-4-5'
    | 'claude-haiku-4-5'
  /** @pydantic/genai-prices, provider `google`. */
  gemini:
    | 'gemini-3.5-flash'
    | 'gemini-3.5-flash-lite'
    | 'gemini-3.1-pro-preview'
    | 'gemini-2.5-pro'
    | 'gemini-2.5-flash'
    | 'gemini-2.5-flash-lite'
  /** As `gemini`. */
  google: KnownModels['gemini']
  /** @pydantic/genai-prices, provider `cohere`. */
  cohere: 'command-a-03-2025' | 'command-r-plus-08-2024' | 'command-r-08-2024' | 'command-r7b-12-2024'
  /** https://ollama.com/library; a tag may follow, as in `llama3.2:1b`. */
  ollama: 'llama3.3' | 'llama3.2' | 'gemma3' | 'qwen3' | 'mistral' | 'phi4' | 'deepseek-r1' | 'gpt-oss'
  /** @pydantic/genai-prices, provider `groq`. */
  groq: 'llama-3.3-70b-versatile' | 'llama-3.1-8b-instant'
  /** @pydantic/genai-prices, provider `deepseek`. */
  deepseek: 'deepseek-chat' | 'deepseek-reasoner'
  /** @pydantic/genai-prices, provider `mistral`. */
  mistral: 'mistral-large-latest' | 'mistral-medium-latest' | 'mistral-small-latest'
  /** @pydantic/genai-prices, provider `x-ai`. */
  xai: 'grok-4.6' | 'grok-4.5'
}

/** Any text. Written so that a union with it keeps the names that it contains, for an editor to complete. */
type AnyName = string & Record<never, never>

/** The names that `createLLM` takes: a provider (`openai`), or a provider and a model (`openai/gpt-4o-mini`). */
export type ProviderName =
  | KnownProvider
  | { [Provider in keyof KnownModels]: `${Provider}/${KnownModels[Provider]}` }[keyof KnownModels]
  | AnyName

/** A model by the name that its vendor gives it. */
export type ModelName = KnownModels[keyof KnownModels] | AnyName

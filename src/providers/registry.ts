/** The known providers: their packages, keys and addresses, and how to recognise a vendor's own client. */
import { didYouMean } from '../options/did-you-mean.ts'
import { ConvokeError } from '../errors.ts'
import { presets } from './shared/presets.ts'
import type { CreateProvider } from '../provider.ts'

/** The facts about a provider that are known before its SDK is loaded. */
export interface ProviderEntry {
  /** The npm package of its SDK. */
  package?: string
  /** Environment variables that may hold the key, the first choice first. */
  keyVariables: readonly string[]
  needsKey: boolean
  /** Environment variables that may hold the base URL, the first choice first. */
  baseURLVariables?: readonly string[]
  baseURL?: string
  /** The port to use when an address has none. Its presence allows an address without a scheme. */
  defaultPort?: number
  /** The preset, for a server that speaks only OpenAI's API. */
  preset?: string
  /** Whether the user must pass the base URL. */
  needsBaseURL?: boolean
  load: () => Promise<{ create: CreateProvider }>
}

const entries: Record<string, ProviderEntry> = {
  openai: {
    package: 'openai',
    keyVariables: ['OPENAI_API_KEY'],
    needsKey: true,
    baseURLVariables: ['OPENAI_BASE_URL'],
    load: () => import('./openai/provider.ts'),
  },
  anthropic: {
    package: '@anthropic-ai/sdk',
    keyVariables: ['ANTHROPIC_API_KEY'],
    needsKey: true,
    baseURLVariables: ['ANTHROPIC_BASE_URL'],
    load: () => import('./anthropic/provider.ts'),
  },
  gemini: {
    package: '@google/generative-ai',
    keyVariables: ['GEMINI_API_KEY', 'GOOGLE_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY'],
    needsKey: true,
    baseURLVariables: ['GOOGLE_GEMINI_BASE_URL'],
    load: () => import('./gemini/provider.ts'),
  },
  cohere: {
    package: 'cohere-ai',
    keyVariables: ['CO_API_KEY', 'COHERE_API_KEY'],
    needsKey: true,
    baseURLVariables: ['CO_API_URL'],
    load: () => import('./cohere/provider.ts'),
  },
  ollama: {
    package: 'ollama',
    keyVariables: ['OLLAMA_API_KEY'],
    needsKey: false,
    baseURLVariables: ['OLLAMA_HOST'],
    baseURL: 'http://127.0.0.1:11434',
    defaultPort: 11_434,
    load: () => import('./ollama/provider.ts'),
  },
}

for (const [name, preset] of Object.entries(presets)) {
  entries[name] = {
    package: 'openai',
    keyVariables: preset.keyVariables,
    needsKey: preset.needsKey,
    preset: name,
    ...(preset.baseURL ? { baseURL: preset.baseURL } : { needsBaseURL: true }),
    load: () => import('./openai/provider.ts'),
  }
}

const aliases: Readonly<Record<string, string>> = { google: 'gemini' }

/** The names of all providers that `createLLM` takes, registered ones included. */
export function listProviders(): string[] {
  return Object.keys(entries)
}

/** @throws ConvokeError `configuration` for an unknown name, with the known names in the message */
export function findProvider(name: string): { name: string; entry: ProviderEntry } {
  const known = Object.hasOwn(aliases, name) ? (aliases[name] as string) : name
  const entry = Object.hasOwn(entries, known) ? entries[known] : undefined
  if (entry) return { name: known, entry }
  const names = listProviders()
  throw new ConvokeError(
    'configuration',
    `Unknown provider ${JSON.stringify(name)}.${didYouMean(name, names)} Providers are ${names.join(', ')}; registerProvider() adds one.`,
  )
}

/**
 * Adds a provider under a name of your own.
 * @param create called once for each LLM, at the LLM's first request
 * @param options.keyVariables environment variables that may hold the key, the first choice first. @default none
 * @param options.needsKey whether a missing key is an error. @default false
 * @throws ConvokeError `configuration` when the name is taken, or has other characters than letters, digits, dots,
 * dashes and underscores
 */
export function registerProvider(
  name: string,
  create: CreateProvider,
  options: { keyVariables?: readonly string[]; needsKey?: boolean } = {},
): void {
  if (!/^[a-z0-9][a-z0-9._-]*$/i.test(name)) {
    throw new ConvokeError(
      'configuration',
      `${JSON.stringify(name)} is not a provider name. Use letters, digits, dots, dashes and underscores.`,
    )
  }
  if (Object.hasOwn(entries, name) || Object.hasOwn(aliases, name)) {
    throw new ConvokeError(
      'configuration',
      `The provider name ${name} is already taken. Choose another name.`,
    )
  }
  entries[name] = {
    keyVariables: options.keyVariables ?? [],
    needsKey: options.needsKey ?? false,
    load: () => Promise.resolve({ create }),
  }
}

/**
 * The provider of a vendor's own client. The client is recognised by its methods and not by its class, because a program
 * may hold two copies of an SDK.
 * @throws ConvokeError `configuration` for an object that is no client of a known SDK
 */
export function recognizeClient(client: object): string {
  const hasMethod = (path: string) => {
    const value = path
      .split('.')
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], client)
    return typeof value === 'function'
  }
  if (hasMethod('chat.completions.create')) return 'openai'
  if (hasMethod('messages.create') && hasMethod('withOptions')) return 'anthropic'
  if (hasMethod('getGenerativeModel') || hasMethod('models.generateContentStream')) return 'gemini'
  if (hasMethod('chatStream') || hasMethod('v2.chatStream')) return 'cohere'
  if (hasMethod('chat') && hasMethod('pull') && hasMethod('embed')) return 'ollama'
  const className = client.constructor?.name ?? 'object'
  throw new ConvokeError(
    'configuration',
    `This ${className} is not a client of a known SDK. Pass a client of openai, @anthropic-ai/sdk, @google/generative-ai, @google/genai, cohere-ai or ollama, or a provider's name.`,
  )
}

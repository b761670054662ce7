/** Which providers there are: name to lazy import, keys and addresses from the environment, clients by structure. */
import { didYouMean } from '../options/did-you-mean.ts'
import { ConvokeError } from '../errors.ts'
import { presets } from './shared/presets.ts'
import type { CreateProvider } from '../provider.ts'

/** What is known of a provider before its SDK is loaded. */
export interface ProviderEntry {
  /** The npm package of its SDK. */
  package?: string
  /** Environment variables that may hold the key, in order. */
  keyVariables: readonly string[]
  needsKey: boolean
  /** Environment variables that may hold the base URL, in order. */
  baseURLVariables?: readonly string[]
  baseURL?: string
  /** The port of an address that may be written as host and port alone. */
  defaultPort?: number
  /** Set for a server that only speaks OpenAI's API. */
  preset?: string
  /** Whether the user must say where the server is. */
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

/** The names that `createLLM` takes. */
export function listProviders(): string[] {
  return Object.keys(entries)
}

/** @throws ConvokeError `configuration` for a name that nobody registered */
export function findProvider(name: string): { name: string; entry: ProviderEntry } {
  const known = Object.hasOwn(aliases, name) ? (aliases[name] as string) : name
  const entry = Object.hasOwn(entries, known) ? entries[known] : undefined
  if (entry) return { name: known, entry }
  const names = listProviders()
  throw new ConvokeError(
    'configuration',
    `There is no provider ${JSON.stringify(name)}.${didYouMean(name, names)} There are ${names.join(', ')}; registerProvider() adds one.`,
  )
}

/**
 * Adds a provider under a name of your own; `create` is called once for each LLM, at its first request.
 * @throws ConvokeError `configuration` when the name is taken or holds a slash
 */
export function registerProvider(
  name: string,
  create: CreateProvider,
  options: { keyVariables?: readonly string[]; needsKey?: boolean } = {},
): void {
  if (!/^[a-z0-9][a-z0-9._-]*$/i.test(name)) {
    throw new ConvokeError(
      'configuration',
      `${JSON.stringify(name)} is no provider name. Use letters, digits, dots and dashes.`,
    )
  }
  if (Object.hasOwn(entries, name) || Object.hasOwn(aliases, name)) {
    throw new ConvokeError('configuration', `There is a provider ${name} already. Choose another name.`)
  }
  entries[name] = {
    keyVariables: options.keyVariables ?? [],
    needsKey: options.needsKey ?? false,
    load: () => Promise.resolve({ create }),
  }
}

/**
 * The provider of a vendor's own client, recognised by structure, so that two copies of an SDK do not matter.
 * @throws ConvokeError `configuration` for an object that is none of them
 */
export function recognizeClient(client: object): string {
  const has = (path: string) => {
    const value = path
      .split('.')
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], client)
    return typeof value === 'function'
  }
  if (has('chat.completions.create')) return 'openai'
  if (has('messages.create') && has('withOptions')) return 'anthropic'
  if (has('getGenerativeModel') || has('models.generateContentStream')) return 'gemini'
  if (has('chatStream') || has('v2.chatStream')) return 'cohere'
  if (has('chat') && has('pull') && has('embed')) return 'ollama'
  const kind = client.constructor?.name ?? 'object'
  throw new ConvokeError(
    'configuration',
    `This ${kind} is no client of a known SDK. Pass a client of openai, @anthropic-ai/sdk, @google/generative-ai, @google/genai, cohere-ai or ollama, or a provider's name.`,
  )
}

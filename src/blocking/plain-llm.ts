/** An LLM as data, from which another thread makes its twin. */
import type { PlainLLM } from '../protocol.ts'
import type { LLMOptions, ProviderConfig } from '../providers/provider.ts'
import type { ProviderEntry } from '../providers/registry.ts'
import { unavailable } from './in-flight.ts'
import { portable } from './portable.ts'

/**
 * @param options with the keys of the environment
 * @throws ConvokeError `blocking_unavailable` where a client, a function or a provider of this thread's own is in it
 */
export function plainLLM(
  id: number,
  { name, entry }: { name: string; entry: ProviderEntry },
  config: ProviderConfig,
  options: LLMOptions,
): PlainLLM {
  if (config.client) {
    throw unavailable(
      "This LLM was made from a client, which cannot cross to the thread that runs blocking calls. Make it by its name, such as createLLM('openai', { apiKey }), or use agenerate().",
    )
  }
  if (!entry.package) {
    throw unavailable(
      `The provider ${name} was registered on this thread, and the one that runs blocking calls does not know it. Use agenerate().`,
    )
  }
  // What stays here: see generateBlocking.
  const { schema: _schema, signal: _signal, blocking: _blocking, apiKey, ...rest } = options
  if (typeof apiKey === 'function') {
    throw unavailable(
      'apiKey is a function, which cannot cross to the thread that runs blocking calls. Pass the key itself, or use agenerate().',
    )
  }
  const { baseURL } = config
  const known = { apiKey: apiKey ?? [], name: config.name, ...(baseURL ? { baseURL } : {}) }
  return { id, provider: name, options: portable({ ...rest, ...known }, 'options') }
}

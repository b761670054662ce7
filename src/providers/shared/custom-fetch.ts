import type { ProviderConfig } from '../../provider.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'

/**
 * The fetch that requests are sent with: the LLM's own option, or the fetch of the user's client unless that is the
 * global one. Undefined stands for convoke's transport.
 */
export function customFetch(
  config: ProviderConfig,
  client: { fetch?: Fetch | undefined; fetchOptions?: unknown } | undefined,
): Fetch | undefined {
  const isDefault = client?.fetch === globalThis.fetch && !client.fetchOptions
  return config.fetch ?? (isDefault ? undefined : client?.fetch)
}

/**
 * The parts of a vendor's client that tell where it sends requests, and on whose account. Each SDK keeps them in other
 * fields. Calls of two clients with equal identities may share a cached reply.
 */
export function clientIdentity(client: object): unknown {
  const { baseURL, organization, project, config = {}, _options = {} } = client as ClientParts
  const headers = _options.defaultHeaders ?? _options.headers ?? config.headers
  return {
    address: baseURL ?? config.host ?? _options.baseUrl ?? _options.environment,
    headers: headers instanceof Headers ? Object.fromEntries(headers) : headers,
    query: _options.defaultQuery,
    organization,
    project,
  }
}

interface ClientParts {
  baseURL?: unknown
  organization?: unknown
  project?: unknown
  /** In the client of ollama. */
  config?: { host?: unknown; headers?: unknown }
  /** In the clients of openai and @anthropic-ai/sdk (`default…`), and of cohere-ai. */
  _options?: Partial<
    Record<'baseUrl' | 'environment' | 'headers' | 'defaultHeaders' | 'defaultQuery', unknown>
  >
}

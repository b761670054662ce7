/**
 * Finds the key, the address and the package of an LLM's provider, from the user's options and the environment.
 *
 * Room `providers`: finds a provider by its name or by a client, and configures it. Imported by `index`, `llm`.
 */
import { ConvokeError } from '../errors.ts'
import type { ProviderConfig } from '../provider.ts'
import type { ApiKey, LLMOptions } from '../options/llm-options.ts'
import type { ProviderEntry } from './registry.ts'

/** An IPv6 address without brackets. It is recognised here because `node:net` would add 5 ms to every import. */
const bareIPv6 = /^[\da-f]*:[\da-f]*:[\da-f:.]*$/i

const defaultMaxLineBytes = 8 * 1_024 * 1_024

/**
 * The configuration of one LLM's provider. The SDK is not loaded yet.
 * @param client the user's own client of a vendor's SDK
 * @throws ConvokeError `configuration` for a missing key or address, `missing_dependency` for a missing package
 */
export function configure(
  found: { name: string; entry: ProviderEntry },
  options: LLMOptions,
  client: object | undefined,
): ProviderConfig {
  const { apiKey, baseURL, headers, fetch, proxy, api, name = found.name } = options
  const { maxLineBytes = defaultMaxLineBytes, maxResponseBytes } = options
  const { entry } = found
  if (!client) checkInstalled(name, entry)
  if (client && apiKey) {
    throw new ConvokeError(
      'configuration',
      "A vendor's client has its own key. Leave out apiKey, or pass a provider's name in place of the client.",
      { provider: name },
    )
  }
  checkProxy(name, proxy, fetch !== undefined)
  const address = client ? baseURL : addressOf(name, entry, baseURL)
  return {
    name,
    apiKey: client ? () => Promise.resolve(undefined) : keySource(name, entry, apiKey, baseURL),
    maxLineBytes,
    ...(maxResponseBytes === undefined ? {} : { maxResponseBytes }),
    ...(entry.preset ? { preset: entry.preset } : {}),
    ...(address ? { baseURL: address } : {}),
    ...(headers ? { headers } : {}),
    ...(fetch ? { fetch } : {}),
    ...(proxy === undefined ? {} : { proxy }),
    ...(api ? { api } : {}),
    ...(client ? { client } : {}),
  }
}

/** The message does not quote the proxy's address, because it may hold a password. */
function checkProxy(provider: string, proxy: string | false | undefined, hasFetch: boolean): void {
  if (proxy === undefined || proxy === false) return
  const message = hasFetch
    ? 'A fetch of your own does not use the option proxy. Pass either fetch or proxy.'
    : /^https?:\/\//i.test(proxy) && URL.canParse(proxy)
      ? undefined
      : 'The option proxy is not the address of an HTTP proxy. Pass an address such as http://proxy.example:3128.'
  if (message) throw new ConvokeError('configuration', message, { provider })
}

function checkInstalled(provider: string, entry: ProviderEntry): void {
  if (!entry.package) return
  try {
    import.meta.resolve(entry.package)
  } catch (cause) {
    throw new ConvokeError(
      'missing_dependency',
      `The package ${entry.package} is not installed. Run: npm install ${entry.package}`,
      { provider, cause },
    )
  }
}

function addressOf(provider: string, entry: ProviderEntry, given: string | undefined): string | undefined {
  const address = given ?? fromEnvironment(entry.baseURLVariables) ?? entry.baseURL
  if (!address && entry.needsBaseURL) {
    throw new ConvokeError('configuration', 'No base URL. Pass baseURL, such as http://127.0.0.1:8080/v1.', {
      provider,
    })
  }
  return address && entry.defaultPort ? hostURL(provider, address, entry.defaultPort) : address
}

/**
 * The URL of an address in the form of OLLAMA_HOST: scheme, host and port may each be missing. A server that listens on
 * every address has `0.0.0.0` there, which for a client means this machine. Source: `envconfig.Host` of ollama.
 */
function hostURL(provider: string, given: string, defaultPort: number): string {
  const text = given.trim().replace(/^["']+|["']+$/g, '')
  if (text.includes('://')) return text.replace('//0.0.0.0', '//127.0.0.1')
  const parts = /^([^@/]*@)?(\[[^\]]*\]|[^:/]*)(:\d+)?(\/.*)?$/.exec(bareIPv6.test(text) ? `[${text}]` : text)
  if (!parts) {
    const message = `The base URL ${JSON.stringify(text)} is not the address of a server. Pass one such as http://127.0.0.1:${defaultPort}.`
    throw new ConvokeError('configuration', message, { provider })
  }
  const [, user = '', host = '', port = `:${defaultPort}`, path = ''] = parts
  return `http://${user}${host === '' || host === '0.0.0.0' ? '127.0.0.1' : host}${port}${path}`
}

/**
 * Gives the key for each request; a list of keys is used in turn.
 * @throws ConvokeError `configuration` when the provider needs a key and there is none
 */
function keySource(
  provider: string,
  entry: ProviderEntry,
  given: ApiKey | undefined,
  baseURL: string | undefined,
): () => Promise<string | undefined> {
  if (typeof given === 'function') return () => callKeyFunction(provider, entry, given)
  const keys = keysOf(entry, given)
  if (keys.length === 0 && entry.needsKey) {
    const variable = entry.keyVariables[0]
    const remedy = variable ? `Pass apiKey or set ${variable}.` : 'Pass apiKey.'
    const hint = baseURL ? ' If the server needs no key, pass any text.' : ''
    throw new ConvokeError('configuration', `No API key. ${remedy}${hint}`, { provider })
  }
  let next = 0
  return () => Promise.resolve(keys[next++ % keys.length])
}

/** The keys that were passed, or the key of the environment. */
export function keysOf(
  { keyVariables }: ProviderEntry,
  given: Exclude<ApiKey, () => unknown> | undefined,
): string[] {
  return [given ?? fromEnvironment(keyVariables) ?? []].flat().filter((key) => key !== '')
}

async function callKeyFunction(
  provider: string,
  entry: ProviderEntry,
  apiKey: () => string | Promise<string>,
): Promise<string | undefined> {
  let key: unknown
  try {
    key = await apiKey()
  } catch (cause) {
    throw new ConvokeError('configuration', 'The apiKey function failed.', { provider, cause })
  }
  if (typeof key === 'string' && key !== '') return key
  if (!entry.needsKey) return undefined
  throw new ConvokeError(
    'configuration',
    'The apiKey function returned no key. Return a string that is not empty.',
    { provider },
  )
}

function fromEnvironment(names: readonly string[] | undefined): string | undefined {
  return names?.map((name) => process.env[name]).find((value) => value)
}

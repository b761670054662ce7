/** From what the user passed, and the environment, to what a provider is made from: key, address, package. */
import { ConvokeError } from '../errors.ts'
import type { ProviderConfig } from '../provider.ts'
import type { ApiKey, LLMOptions } from '../options/llm-options.ts'
import type { ProviderEntry } from './registry.ts'

/** An IPv6 address without brackets. Asking `node:net` would cost every import 5 ms. */
const bareIPv6 = /^[\da-f]*:[\da-f]*:[\da-f:.]*$/i

const defaultMaxLineBytes = 8 * 1_024 * 1_024

/**
 * The configuration of one LLM's provider. Nothing is loaded yet.
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
    throw new ConvokeError('configuration', 'A client has its own key: leave apiKey out, or pass a name.', {
      provider: name,
    })
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

/** Its address may hold a password, and is not quoted. */
function checkProxy(provider: string, proxy: string | false | undefined, hasFetch: boolean): void {
  if (proxy === undefined || proxy === false) return
  const message = hasFetch
    ? 'A fetch of your own takes its own way: leave proxy out, or fetch.'
    : /^https?:\/\//i.test(proxy) && URL.canParse(proxy)
      ? undefined
      : 'The option proxy is no address of an HTTP proxy. It takes http:// or https://, as in http://proxy.example:3128.'
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
  const found = given ?? fromEnvironment(entry.baseURLVariables) ?? entry.baseURL
  if (!found && entry.needsBaseURL) {
    throw new ConvokeError('configuration', 'No base URL. Pass baseURL, such as http://127.0.0.1:8080/v1.', {
      provider,
    })
  }
  return found && entry.defaultPort ? hostURL(provider, found, entry.defaultPort) : found
}

/**
 * An address as OLLAMA_HOST has it: scheme, host and port may each be missing, and `0.0.0.0`, where a server listens
 * everywhere, is this machine to a client. Source: `envconfig.Host` of ollama.
 */
function hostURL(provider: string, given: string, defaultPort: number): string {
  const text = given.trim().replace(/^["']+|["']+$/g, '')
  if (text.includes('://')) return text.replace('//0.0.0.0', '//127.0.0.1')
  const parts = /^([^@/]*@)?(\[[^\]]*\]|[^:/]*)(:\d+)?(\/.*)?$/.exec(bareIPv6.test(text) ? `[${text}]` : text)
  if (!parts) {
    throw new ConvokeError('configuration', `${JSON.stringify(text)} is no address of a server.`, {
      provider,
    })
  }
  const [, user = '', host = '', port = `:${defaultPort}`, path = ''] = parts
  return `http://${user}${host === '' || host === '0.0.0.0' ? '127.0.0.1' : host}${port}${path}`
}

/** Gives keys one after the other. @throws ConvokeError `configuration` when there is none and one is needed */
function keySource(
  provider: string,
  entry: ProviderEntry,
  given: ApiKey | undefined,
  baseURL: string | undefined,
): () => Promise<string | undefined> {
  if (typeof given === 'function') return () => askForKey(provider, entry, given)
  const keys = keysOf(entry, given)
  if (keys.length === 0 && entry.needsKey) {
    const variable = entry.keyVariables[0]
    const remedy = variable ? `Pass apiKey or set ${variable}.` : 'Pass apiKey.'
    const hint = baseURL ? ' A server that wants none takes any text.' : ''
    throw new ConvokeError('configuration', `No API key. ${remedy}${hint}`, { provider })
  }
  let next = 0
  return () => Promise.resolve(keys[next++ % keys.length])
}

/** The keys that were passed, or that of the environment. */
export function keysOf(
  { keyVariables }: ProviderEntry,
  given: Exclude<ApiKey, () => unknown> | undefined,
): string[] {
  return [given ?? fromEnvironment(keyVariables) ?? []].flat().filter((key) => key !== '')
}

async function askForKey(
  provider: string,
  entry: ProviderEntry,
  ask: () => string | Promise<string>,
): Promise<string | undefined> {
  let key: unknown
  try {
    key = await ask()
  } catch (cause) {
    throw new ConvokeError('configuration', 'The apiKey function failed.', { provider, cause })
  }
  if (typeof key === 'string' && key !== '') return key
  if (!entry.needsKey) return undefined
  throw new ConvokeError('configuration', 'The apiKey function gave no key.', { provider })
}

function fromEnvironment(names: readonly string[] | undefined): string | undefined {
  return names?.map((name) => process.env[name]).find((value) => value)
}

/** Reads a request into the one form that users, scripts and the log see. */
import type { IncomingMessage } from 'node:http'
import { asString, isObject, parseJson } from './json-value.ts'
import type { RequestLog } from './request-log.ts'
import { findRoute } from './route.ts'
import type { Route } from './route.ts'
import type { RequestRecord, SimulatedRequest } from './types.ts'
import type { JsonObject } from './json-value.ts'
import type { Conversation } from './wire-format.ts'

/** A request that was read, whether or not it makes sense. */
export interface Understood {
  route: Route
  record: RequestRecord
  /** Undefined where the endpoint reads none, or the body is not a JSON object. */
  conversation: Conversation | undefined
  /** The key that it carries, where its vendor's SDK puts it. */
  key: string | undefined
}

/** Reads a request, and puts it into the log. */
export function understand(
  incoming: IncomingMessage,
  body: string,
  startedAt: number,
  log: RequestLog,
): Understood {
  const url = incoming.url ?? '/'
  const queryAt = url.indexOf('?')
  const path = queryAt < 0 ? url : url.slice(0, queryAt)
  const query = new URLSearchParams(queryAt < 0 ? '' : url.slice(queryAt))
  const headers = flatHeaders(incoming)
  const method = incoming.method ?? 'GET'
  const route = findRoute(method, path, query, headers)
  const parsed = body === '' ? undefined : parseJson(body)
  const conversation = isObject(parsed) ? route.format?.read(conversationBody(route, parsed)) : undefined
  const record: RequestRecord = {
    provider: route.vendor.name,
    api: route.api,
    method,
    path,
    headers,
    body: parsed,
    ...meaning(route, parsed, conversation),
    ...log.next(method, path, body),
    startedAt,
    eventsSent: 0,
    outcome: 'open',
    status: 0,
  }
  log.add(record, body.length)
  return { route, record, conversation, key: route.vendor.key(headers, query) }
}

/** Gemini's countTokens may wrap the request that it counts. */
function conversationBody(route: Route, body: JsonObject): JsonObject {
  const inner = body['generateContentRequest']
  return route.api === 'count-tokens' && isObject(inner) ? inner : body
}

function meaning(
  route: Route,
  body: unknown,
  conversation: Conversation | undefined,
): Pick<SimulatedRequest, 'model' | 'stream' | 'system' | 'messages' | 'prompt' | 'tools'> {
  const named = isObject(body) ? (asString(body['model']) ?? asString(body['name'])) : undefined
  const system = conversation?.system ?? []
  const messages = (conversation?.turns ?? []).map(({ role, givenRole, text }) => ({
    role: role === 'unknown' ? givenRole : role,
    text,
  }))
  const isStreamedPull = route.api === 'pull' && !(isObject(body) && body['stream'] === false)
  return {
    model: route.model ?? named ?? '',
    stream: route.stream ?? conversation?.stream ?? isStreamedPull,
    ...(system.length > 0 && { system: system.join('\n\n') }),
    messages,
    prompt: messages.findLast((message) => message.role === 'user')?.text ?? '',
    tools: conversation?.tools ?? [],
  }
}

function flatHeaders(incoming: IncomingMessage): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}

/** Parses requests of all vendors into one form, which scripts get and the log keeps. */
import type { IncomingMessage } from 'node:http'
import { asString, isObject, parseJson } from './json-value.ts'
import type { RequestLog } from './request-log.ts'
import { findRoute } from './route.ts'
import type { Route } from './route.ts'
import type { RequestRecord, SimulatedRequest } from './types.ts'
import type { JsonObject } from './json-value.ts'
import type { Conversation } from './wire-format.ts'

/** A parsed request. It is not checked yet: `checkRequest` does that. */
export interface ParsedRequest {
  route: Route
  /** The request as users see it; it is also in the log, and is updated while the request runs. */
  record: RequestRecord
  /** Undefined when the endpoint reads no conversation, or when the body is not a JSON object. */
  conversation: Conversation | undefined
  /** The API key, from the place where the vendor's SDK puts it. */
  key: string | undefined
}

/** Parses a request, and adds it to the log. */
export function parseRequest(
  incoming: IncomingMessage,
  body: string,
  startedAt: number,
  log: RequestLog,
): ParsedRequest {
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
    ...fieldsOf(route, parsed, conversation),
    ...log.next(method, path, body),
    startedAt,
    eventsSent: 0,
    outcome: 'open',
    status: 0,
  }
  log.add(record, body.length)
  return { route, record, conversation, key: route.vendor.key(headers, query) }
}

/** The body that holds the conversation. Gemini's countTokens may wrap it in another object. */
function conversationBody(route: Route, body: JsonObject): JsonObject {
  const inner = body['generateContentRequest']
  return route.api === 'count-tokens' && isObject(inner) ? inner : body
}

function fieldsOf(
  route: Route,
  body: unknown,
  conversation: Conversation | undefined,
): Pick<SimulatedRequest, 'model' | 'stream' | 'system' | 'messages' | 'prompt' | 'tools'> {
  const named = isObject(body) ? (asString(body['model']) ?? asString(body['name'])) : undefined
  const system = conversation?.system ?? []
  const messages = (conversation?.messages ?? []).map(({ role, givenRole, text }) => ({
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

/** All texts of a request that its model reads. */
export function conversationTexts({ system = '', messages, tools }: SimulatedRequest): string[] {
  return [system, ...messages.map((message) => message.text), ...tools]
}

/** The characters of all these texts. */
export function conversationLength(request: SimulatedRequest): number {
  return conversationTexts(request).reduce((total, text) => total + text.length, 0)
}

function flatHeaders(incoming: IncomingMessage): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}

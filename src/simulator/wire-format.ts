/** The contract of the files that know a vendor's wire protocol, and helpers that several of them need. */
import type { JsonObject } from './json-value.ts'
import type { PreparedReply } from './prepare-reply.ts'
import type { WireMessage } from './wire-message.ts'
import type { SimulatedProvider, SimulatedRequest } from './types.ts'

/** An error, before a vendor's format is applied to it. */
export interface Problem {
  status: number
  /** @default the vendor's own message for this status */
  message?: string
  /** Set when the vendor has a more exact code than the status alone. */
  kind?: 'model-not-found'
  model?: string
  /** The value of the `retry-after` header; Gemini repeats it in the body. */
  retryAfter?: string | number
}

/** The parts that all endpoints of one vendor share. */
export interface Vendor {
  readonly name: SimulatedProvider
  readonly defaultModels: readonly string[]
  /** The status of this vendor's overloaded servers. */
  readonly overloadedStatus: number
  /** The API key in a request; undefined when there is none. */
  key(headers: Record<string, string>, query: URLSearchParams): string | undefined
  /** Headers of every response, errors included. */
  headers(requestId: string): Record<string, string>
  /** The body of an error. */
  error(problem: Problem, requestId: string): unknown
  /** The body of the list of models. */
  list(models: readonly string[]): unknown
  /** The body that describes one model. */
  model(id: string): unknown
  /** The body that tells the tokens of a text. Absent for vendors without such an endpoint. */
  count?(text: string): unknown
  /** The longest text that it counts, in UTF-16 units. @default no limit */
  readonly maxCountedUnits?: number
}

/** The conversation in a request's body, in one form for all vendors. */
export interface Conversation {
  model?: string
  stream: boolean
  system: string[]
  messages: WireMessage[]
  /** True when the messages continue a conversation that the server keeps, so that their order cannot be checked. */
  isContinuation?: boolean
  /** The names of the tools. */
  tools: string[]
}

/** An endpoint that answers with a model's reply, as JSON or as a stream. */
export interface WireFormat {
  /** The content type of streams. */
  readonly contentType: string
  /** Whether the stream may contain comments. Server-sent events may, NDJSON may not. */
  readonly hasComments: boolean
  /** The number of events before the first piece of a text reply. Vendors send them together with that piece. */
  readonly openingEvents: number
  /** An event of this format whose data is not JSON. */
  readonly junkEvent: string
  read(body: JsonObject): Conversation
  json(reply: PreparedReply, request: SimulatedRequest): unknown
  /** The framed events. A fault by share counts them first, so a second call must give the same events. */
  events(reply: PreparedReply, request: SimulatedRequest): Iterable<string>
  /** The event that reports an error in the middle of a stream. */
  errorEvent(reply: PreparedReply, message?: string): string
}

/** The content type of server-sent events. */
export const EVENT_STREAM = 'text/event-stream; charset=utf-8'

/** The key in `authorization: Bearer …`; undefined when there is none. */
export function bearerToken(headers: Record<string, string>): string | undefined {
  return /^Bearer (.*)$/i.exec(headers['authorization'] ?? '')?.[1]
}

/** A server-sent event with a name, as Anthropic, Cohere and OpenAI Responses send them. */
export function namedEvent(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}

/** A server-sent event without a name, as OpenAI Chat Completions sends them. */
export function dataEvent(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`
}

/** A line of JSON. Ollama's streams consist of them. */
export function jsonLine(data: JsonObject): string {
  return `${JSON.stringify(data)}\n`
}

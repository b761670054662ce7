/** The contract of the files that know a vendor's wire, and what several of them need. */
import type { JsonObject } from './json-value.ts'
import type { PreparedReply } from './reply.ts'
import type { Turn } from './strict-messages.ts'
import type { SimulatedProvider, SimulatedRequest } from './types.ts'

/** What went wrong, before a vendor puts it into its own words. */
export interface Problem {
  status: number
  /** @default what the vendor says for this status */
  message?: string
  /** Where the vendor has a more exact code than the status alone. */
  kind?: 'model-not-found'
  model?: string
  /** Seconds, where the server names them; Gemini repeats them in the body. */
  retryAfter?: string | number
}

/** What all endpoints of one vendor share. */
export interface Vendor {
  readonly name: SimulatedProvider
  readonly defaultModels: readonly string[]
  /** The status that an overloaded server of this vendor answers by. */
  readonly overloadedStatus: number
  /** The key that a request carries, or undefined. */
  key(headers: Record<string, string>, query: URLSearchParams): string | undefined
  /** Headers of every response, errors included. */
  headers(requestId: string): Record<string, string>
  error(problem: Problem, requestId: string): unknown
  /** The list endpoint's body. */
  list(models: readonly string[]): unknown
  /** One model's own body. */
  model(id: string): unknown
  /** The answer to how many tokens a text has; absent where the vendor does not say. */
  count?(text: string): unknown
  /** The longest text that it counts, in UTF-16 units. @default no limit */
  readonly maxCountedUnits?: number
}

/** What a request's body says, in one form for all vendors. */
export interface Conversation {
  model?: string
  stream: boolean
  system: string[]
  turns: Turn[]
  /** The turns go on from some that the server keeps, so they cannot be judged alone. */
  isContinuation?: boolean
  tools: string[]
}

/** One endpoint that answers by a model's reply, as JSON or as a stream. */
export interface WireFormat {
  /** Of streams. */
  readonly contentType: string
  /** Server-sent events may carry comments; NDJSON may not. */
  readonly hasComments: boolean
  /** Events that say nothing yet, in a reply of text: vendors send them together with its first piece. */
  readonly openingEvents: number
  /** An event of this stream whose data is not JSON. */
  readonly junkEvent: string
  read(body: JsonObject): Conversation
  json(reply: PreparedReply, request: SimulatedRequest): unknown
  /** The framed events. Called twice where a fault needs their number, so it must be repeatable. */
  events(reply: PreparedReply, request: SimulatedRequest): Iterable<string>
  /** The event by which this vendor reports an error in the middle of a stream. */
  errorEvent(reply: PreparedReply, message?: string): string
}

/** The content type of server-sent events. */
export const EVENT_STREAM = 'text/event-stream; charset=utf-8'

/** A server-sent event with a name, as Anthropic, Cohere and OpenAI Responses send them. */
export function namedEvent(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}

/** A server-sent event without a name, as OpenAI Chat Completions sends them. */
export function dataEvent(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`
}

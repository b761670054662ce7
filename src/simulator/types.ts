/** The public types of the simulator: options, scripted replies, faults, and recorded requests. */

/** A vendor whose wire protocol the simulator speaks. */
export type SimulatedProvider = 'openai' | 'anthropic' | 'gemini' | 'cohere' | 'ollama'

/** The endpoint that a request called. `unknown`: no vendor has such a path. */
export type SimulatedApi =
  | 'chat' // OpenAI Chat Completions, Cohere v2, Ollama /api/chat
  | 'responses' // OpenAI
  | 'messages' // Anthropic
  | 'generate' // Gemini generateContent, Ollama /api/generate
  | 'count-tokens' // OpenAI, Anthropic, Gemini; Cohere's /v1/tokenize, which counts a plain text
  | 'models' // the list of models; not Ollama's
  | 'model' // one model; not Ollama's
  | 'tags' // this and the following are Ollama's
  | 'ps'
  | 'version'
  | 'show'
  | 'pull'
  | 'delete'
  | 'unknown'

/** Why a scripted reply ends. Each vendor's response gets the vendor's own word for it. */
export type SimulatedFinishReason = 'stop' | 'length' | 'tool-calls' | 'content-filter'

/**
 * Token counts of a scripted reply, by the same rules for all vendors: `inputTokens` includes the cached tokens, and
 * `outputTokens` includes the reasoning tokens. Each vendor's response then follows that vendor's rules: Anthropic's
 * input excludes cached tokens, and Gemini's output excludes thoughts.
 */
export interface ScriptedUsage {
  /** @default a quarter of the characters of the conversation */
  inputTokens?: number
  /** @default a quarter of the characters of the reply, reasoning included */
  outputTokens?: number
  /** The part of `inputTokens` that came from the vendor's cache. @default 0 */
  cachedInputTokens?: number
  /** @default a quarter of the characters of the reasoning */
  reasoningTokens?: number
}

/** A tool call in a scripted reply. */
export interface ScriptedToolCall {
  /** @default made up in the vendor's style, except for Gemini and Ollama, which send an id only when one is given */
  id?: string
  /** The name of the tool. */
  name: string
  /**
   * An object, or a string that is sent as it is, even if it is cut-off JSON. Some protocols have no strings here
   * (Gemini, Ollama, Anthropic without streaming): for them a string is parsed. If it does not parse, the response is
   * what those vendors send in such a case: MALFORMED_FUNCTION_CALL from Gemini, text from Ollama, `{}` from Anthropic.
   *
   * @default {}
   */
  arguments?: unknown
}

/**
 * A reply with all its details. All fields are optional; a reply without text, reasoning, refusal and tool calls gets
 * the default sentence as its text.
 *
 * @example
 * const simulator = await startSimulator({ reply: { text: 'Paris.', usage: { inputTokens: 12, outputTokens: 3 } } })
 * simulator.setReply({ toolCalls: [{ name: 'weather', arguments: { city: 'Oslo' } }] })
 * simulator.setReply(({ prompt }) => ({ text: `You said: ${prompt}`, paceMs: 20 }))
 */
export interface ScriptedReply {
  /** The visible text. When there are tool calls, Cohere's response has it as the tool plan. */
  text?: string
  /** The exact pieces of the text, one per stream event, in place of `text` and `chunkSize`. */
  chunks?: string[]
  /** The model's thinking, sent before the text. */
  reasoning?: string
  /**
   * The signature of the reasoning: Anthropic's signature, Gemini's thoughtSignature, or `encrypted_content` of
   * OpenAI's Responses API. Other vendors have none.
   *
   * @default a made-up one for Anthropic, which signs all reasoning; none for the others
   */
  signature?: string
  /** OpenAI's refusal. Vendors without such a field send it as text that their content filter ended. */
  refusal?: string
  /** Tool calls, sent after the text. */
  toolCalls?: ScriptedToolCall[]
  /** @default `tool-calls` when there are any, else `stop` */
  finishReason?: SimulatedFinishReason
  /** The token counts that the response reports. @default counted from the characters */
  usage?: ScriptedUsage
  /** The model that the response names. @default the model of the request */
  model?: string
  /** The id of the response. @default made up in the vendor's style */
  id?: string
  /** Characters of text per stream event. @default the simulator's option */
  chunkSize?: number
  /** Milliseconds between stream events. @default the simulator's option */
  paceMs?: number
  /** Milliseconds before the headers. @default the simulator's option */
  latencyMs?: number
  /** A fault for this reply. Faults of the queue, of the request's header and of the simulator's options come first. */
  fault?: Fault
}

/** A text, or a reply with more details. */
export type Reply = string | ScriptedReply

/** Makes a reply for each request. When it throws, the response is status 500 with the error's message. */
export type ReplyFunction = (request: SimulatedRequest) => Reply | Promise<Reply>

/**
 * Something that goes wrong with one request. When several fields are set, `reset` wins over `status`, and `status`
 * wins over the `…After` faults.
 *
 * The `…After` faults take a share from 0 to 1 of the reply's stream events. That share is sent, and then the fault
 * strikes, at the latest before the last event: a share of 1 means "all but the terminal event". For a reply without
 * streaming it is a share of the body's bytes; there `junkAfter` replaces the whole body, and `errorAfter` answers with
 * the status of the vendor's overload error.
 *
 * @example
 * simulator.failNext({ status: 429, retryAfter: 2 })
 * simulator.failNext({ endAfter: 0.5 }) // half a stream, then a clean end without its terminal event
 */
export interface Fault {
  /** Milliseconds to wait before the headers. @default the reply's, else the simulator's */
  latencyMs?: number
  /** Resets the socket before any header. */
  reset?: true
  /** Answers with this HTTP status and the vendor's error body. */
  status?: number
  /** The value of the `retry-after` header: seconds or an HTTP date. */
  retryAfter?: string | number
  /** More response headers. */
  headers?: Record<string, string>
  /** The message in the vendor's error body or error event. @default the vendor's own message */
  message?: string
  /** The raw body to send with `status`, in place of the vendor's error body. */
  body?: string
  /** After this share nothing more is sent, and the socket stays open. */
  stallAfter?: number
  /** After this share the socket is reset. */
  cutAfter?: number
  /** After this share the response ends cleanly, without the vendor's terminal event. */
  endAfter?: number
  /** After this share one event is sent that is not JSON, and then the rest of the reply. */
  junkAfter?: number
  /** After this share the vendor's error event is sent, and the response ends. */
  errorAfter?: number
  /**
   * Sends `: keep-alive` comments between the events. No effect for Ollama, whose streams are not server-sent events.
   */
  comments?: boolean
}

/** Chooses a fault for each request; undefined for none. */
export type FaultFunction = (request: SimulatedRequest) => Fault | undefined

/** A message of a request, in one form for all vendors. */
export interface SimulatedMessage {
  /** `user`, `assistant` or `tool`, whatever the vendor calls it. System messages are in `system` instead. */
  role: string
  /** All text of the message, joined; for a tool message, the text of the result. */
  text: string
}

/** A request, in one form for all vendors. */
export interface SimulatedRequest {
  /** The vendor whose protocol the request speaks. */
  provider: SimulatedProvider
  /** The API of that vendor. */
  api: SimulatedApi
  /** The HTTP method, in capitals. */
  method: string
  /** The path without the query. */
  path: string
  /** Headers by their names in lower case. API keys are not redacted, so that tests can check them. */
  headers: Record<string, string>
  /** The parsed body; undefined when there is none, or when it is not JSON. */
  body: unknown
  /** The model; '' when the request names none. */
  model: string
  /** Whether the request asks for a stream. */
  stream: boolean
  /** The system prompt, wherever the vendor puts it. Several are joined by an empty line. Absent when there is none. */
  system?: string
  /** The messages without the system prompt, oldest first. */
  messages: SimulatedMessage[]
  /** The text of the last user message; '' when there is none. */
  prompt: string
  /** The names of the tools that the request offers. */
  tools: string[]
  /** How often the same body was sent to the same path, from 1: the number of the attempt, if a client retries. */
  attempt: number
  /** The number of the request, from 1. */
  number: number
}

/**
 * How a request ended. `open`: it still runs. `complete`: it was answered in full. `error`: the simulator refused it,
 * for a wrong key or an unknown model, for example. `fault`: a fault struck. `client-closed`: the client closed the
 * socket first, which is also how a stall ends.
 */
export type RequestOutcome = 'open' | 'complete' | 'error' | 'fault' | 'client-closed'

/** A request and its outcome. The record is updated in place while the request runs. */
export interface RequestRecord extends SimulatedRequest {
  /** When the request's headers were read: `performance.now()`, in milliseconds. */
  startedAt: number
  /** When the response ended or its socket closed: `performance.now()`, in milliseconds. Absent while it runs. */
  endedAt?: number
  /** The stream events that were written; 1 for a complete reply without streaming. */
  eventsSent: number
  /** How the request ended, or `open` while it runs. */
  outcome: RequestOutcome
  /** The HTTP status that was sent; 0 until then, and when the socket was reset before. */
  status: number
}

/** Options of a simulator. */
export interface SimulatorOptions {
  /** The port to listen on; 0 takes a free one. @default 0 */
  port?: number
  /** The address to listen on. @default '127.0.0.1' */
  host?: string
  /**
   * The reply to every request, or a function that makes one for each.
   * @default a sentence that names the model and repeats the prompt
   */
  reply?: Reply | ReplyFunction
  /** Characters (code points) of text per stream event. @default 4 */
  chunkSize?: number
  /** Milliseconds between stream events. The events that open a reply are sent with its first piece. @default 0 */
  paceMs?: number
  /** Milliseconds before the headers. @default 0 */
  latencyMs?: number
  /** A fault for every request, or a function that chooses one for each. @default none */
  fault?: Fault | FaultFunction
  /** The models that every vendor lists. @default a few of each vendor's own */
  models?: string[]
  /** Answers requests for a model that is not listed with the vendor's 404. @default false, so any name is answered */
  strictModels?: boolean
  /**
   * The only valid API key; requests with another key, or none, get the vendor's 401. The key is read from where the
   * vendor's SDK puts it: `authorization: Bearer` (OpenAI, Cohere, Ollama), `x-api-key` or `authorization` (Anthropic),
   * `x-goog-api-key` or `?key=` (Gemini). @default any key is valid
   */
  apiKey?: string
  /**
   * Answers conversations that the strictest vendor or model template would refuse with 400, for every vendor: a tool
   * call without its result, a result without its call, a conversation that does not begin with the user, two messages
   * of the same side in a row, an empty message. @default false
   */
  strictMessages?: boolean
}

/** A running simulator. Close it with `close()`, or declare it with `await using`. */
export interface Simulator extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, without a path. */
  readonly url: string
  /** The port that it listens on. */
  readonly port: number
  /**
   * The base URL for a vendor's SDK: `url` itself for `anthropic`, `gemini`, `google`, `cohere` and `ollama`; `url`
   * with `/v1` for `openai` and every other name, as on OpenAI-compatible servers.
   */
  baseURL(provider: string): string
  /** The last 10,000 requests (fewer where their bodies exceed 256 MiB), oldest first. */
  readonly requests: readonly RequestRecord[]
  /** The number of streams that are being answered now. */
  readonly openStreams: number
  /** The number of open connections, idle ones included. */
  readonly openSockets: number
  /**
   * Queues a fault for the next requests. Queued faults come before all others.
   *
   * @param times the number of requests that get it. @default 1
   * @throws TypeError or RangeError when the fault or the number is invalid
   */
  failNext(fault: Fault, times?: number): void
  /**
   * Replaces the option `reply`, from the next request on.
   *
   * @throws TypeError or RangeError when the reply is invalid
   */
  setReply(reply: Reply | ReplyFunction): void
  /**
   * Clears `requests`, the counts of attempts, and the queued faults. Running requests go on. The reply stays as it is.
   */
  reset(): void
  /** Stops listening and destroys every open socket. A second call does nothing more. */
  close(): Promise<void>
}

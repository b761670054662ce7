/** What users of the simulator type: its options, scripted replies, faults, and what it recorded. */

/** A vendor whose wire protocol the simulator speaks. */
export type SimulatedProvider = 'openai' | 'anthropic' | 'gemini' | 'cohere' | 'ollama'

/** Which of a vendor's endpoints was called; `unknown` for a path that no vendor has. */
export type SimulatedApi =
  | 'chat' // OpenAI Chat Completions, Cohere v2, Ollama /api/chat
  | 'responses' // OpenAI
  | 'messages' // Anthropic
  | 'generate' // Gemini generateContent, Ollama /api/generate
  | 'count-tokens' // OpenAI, Anthropic, Gemini; Cohere's /v1/tokenize, which counts a plain text
  | 'models'
  | 'model'
  | 'tags'
  | 'ps'
  | 'version'
  | 'show'
  | 'pull'
  | 'delete'
  | 'unknown'

/** Why a scripted reply ends; each vendor gets its own word for it. */
export type SimulatedFinishReason = 'stop' | 'length' | 'tool-calls' | 'content-filter'

/**
 * Token counts of a scripted reply, in one arithmetic for all vendors: `inputTokens` includes the cached
 * ones and `outputTokens` includes the reasoning ones. Each vendor is then given its own arithmetic
 * (Anthropic counts cached tokens beside the input, Gemini counts thoughts beside the output).
 */
export interface ScriptedUsage {
  /** @default an estimate: characters of the conversation / 4 */
  inputTokens?: number
  /** @default an estimate: characters of the reply / 4 */
  outputTokens?: number
  /** @default 0 */
  cachedInputTokens?: number
  /** @default an estimate where the reply reasons, else 0 */
  reasoningTokens?: number
}

/** A tool call that a scripted reply makes. */
export interface ScriptedToolCall {
  /** @default made up, in the vendor's style; Gemini and Ollama send an id only when one is given */
  id?: string
  name: string
  /**
   * An object, or a string that is sent as it is, even if it is cut-off JSON. Where the wire has no room for
   * a string (Gemini, Ollama, Anthropic's plain JSON) a string is parsed; one that does not parse is sent as
   * those vendors send it: Gemini's MALFORMED_FUNCTION_CALL, text from Ollama, `{}` from Anthropic.
   *
   * @default {}
   */
  arguments?: unknown
}

/** A reply in full. An empty one (`{}`, or one that sets no content) gives the default sentence. */
export interface ScriptedReply {
  /** The visible text. Cohere gives the text before tool calls as its tool plan. */
  text?: string
  /** Exact pieces of the text, one per stream event, instead of cutting `text` by `chunkSize`. */
  chunks?: string[]
  /** Thinking, sent before the text. */
  reasoning?: string
  /**
   * Signs the reasoning: Anthropic's signature, Gemini's thoughtSignature, `encrypted_content` of OpenAI
   * Responses; the others have none.
   *
   * @default a made-up one for Anthropic, where reasoning never comes without; none elsewhere
   */
  signature?: string
  /** OpenAI's refusal. Vendors without such a field give it as text that ends by their content filter. */
  refusal?: string
  toolCalls?: ScriptedToolCall[]
  /** @default by content: `tool-calls` where there are any, else `stop` */
  finishReason?: SimulatedFinishReason
  usage?: ScriptedUsage
  /** The model that the reply says it ran. @default the model that was asked for */
  model?: string
  /** @default made up, in the vendor's style */
  id?: string
  /** Wins over the simulator's own. */
  chunkSize?: number
  /** Milliseconds; wins over the simulator's own. */
  paceMs?: number
  /** Milliseconds; wins over the simulator's own. */
  latencyMs?: number
  /** Used where no fault was queued, asked for by header, or given by the simulator's options. */
  fault?: Fault
}

/** A text, or a scripted reply in full. */
export type Reply = string | ScriptedReply

/** Makes a reply for each request. One that throws is answered by status 500 with its message. */
export type ReplyFunction = (request: SimulatedRequest) => Reply | Promise<Reply>

/**
 * Something that goes wrong with one request. `reset` wins over `status`, and `status` over the faults below
 * it.
 *
 * The `…After` faults take a share, 0 to 1, of the reply's stream events: so many are sent, and then it
 * strikes. It always strikes before the last event, so that a share of 1 means "all but the terminal event".
 * In a plain JSON reply the share is of the body's bytes; there `junkAfter` replaces the whole body, and
 * `errorAfter` gives the vendor's error of the same kind by status.
 */
export interface Fault {
  /** Milliseconds to wait before the headers; wins over the reply's and the simulator's own. */
  latencyMs?: number
  /** The socket is reset before any header. */
  reset?: true
  /** Answers with this status and the vendor's error body. */
  status?: number
  /** The `retry-after` header, verbatim: seconds or an HTTP date. */
  retryAfter?: string | number
  /** More response headers. */
  headers?: Record<string, string>
  /** The message in the vendor's error body or error event. @default what the vendor says */
  message?: string
  /** The raw body that goes with `status`, instead of the vendor's error JSON. */
  body?: string
  /** Then nothing more comes, with the socket open. */
  stallAfter?: number
  /** Then the socket is reset. */
  cutAfter?: number
  /** Then the response ends cleanly, without the vendor's terminal event. */
  endAfter?: number
  /** Then one event that is not JSON comes, and the reply goes on. */
  junkAfter?: number
  /** Then the vendor's own error event comes, and the response ends. */
  errorAfter?: number
  /** `: keep-alive` comments stand between the events (SSE only, so not in Ollama's). */
  comments?: boolean
}

/** Chooses a fault for each request, or none. */
export type FaultFunction = (request: SimulatedRequest) => Fault | undefined

/** A message of a request, in one form for all vendors. */
export interface SimulatedMessage {
  /** `user`, `assistant` or `tool`, whatever the vendor calls it; system messages are in `system`. */
  role: string
  /** All its text, joined; the result's text for a tool message. */
  text: string
}

/** A request as the simulator understood it. */
export interface SimulatedRequest {
  provider: SimulatedProvider
  api: SimulatedApi
  method: string
  /** Without the query. */
  path: string
  /** Names in lower case; keys are not hidden, so that a test can look at them. */
  headers: Record<string, string>
  /** The parsed body; `undefined` where there was none or it is not JSON. */
  body: unknown
  /** `''` where the request names none. */
  model: string
  /** Whether a stream is asked for. */
  stream: boolean
  /** The system prompt, wherever the vendor puts it; several are joined by an empty line. */
  system?: string
  messages: SimulatedMessage[]
  /** The text of the last user message; `''` where there is none. */
  prompt: string
  /** Names of the tools on offer. */
  tools: string[]
  /** How often this very body was sent to this path, from 1: the attempt that a retry makes. */
  attempt: number
  /** Counts all requests, from 1. */
  number: number
}

/**
 * How a request ended: `open` while it runs, `complete`, `error` (the simulator refused it: a wrong key, an
 * unknown model), `fault` (an injected fault struck), `client-closed` (its socket closed first; this is
 * how a stall ends too).
 */
export type RequestOutcome = 'open' | 'complete' | 'error' | 'fault' | 'client-closed'

/** A request and what became of it. Updated in place while it runs. */
export interface RequestRecord extends SimulatedRequest {
  /** By `performance.now()`, in milliseconds: the request's headers were read. */
  startedAt: number
  /** By `performance.now()`, in milliseconds: the response ended or its socket closed. */
  endedAt?: number
  /** Stream events of the reply that were written; 1 for a plain reply in full. */
  eventsSent: number
  outcome: RequestOutcome
  /** The status that was sent; 0 before that, and where the socket was reset first. */
  status: number
}

/** How a simulator is started. */
export interface SimulatorOptions {
  /** @default 0: a free port */
  port?: number
  /** @default '127.0.0.1' */
  host?: string
  /** @default a friendly sentence that names the model and echoes the prompt */
  reply?: Reply | ReplyFunction
  /** Characters (code points) of text per stream event. @default 4 */
  chunkSize?: number
  /** Milliseconds between stream events; those that open a reply come with its first piece. @default 0 */
  paceMs?: number
  /** Milliseconds before the headers. @default 0 */
  latencyMs?: number
  /** What goes wrong with every request, or a function that chooses for each. */
  fault?: Fault | FaultFunction
  /** What every vendor's list of models gives. @default a few of each vendor's own */
  models?: string[]
  /** Answers a model that is not in the list by the vendor's 404. @default false: any name is answered */
  strictModels?: boolean
  /**
   * Answers any other key by the vendor's 401. It is looked for where the vendor's SDK puts it:
   * `authorization: Bearer` (OpenAI, Cohere, Ollama), `x-api-key` or `authorization` (Anthropic),
   * `x-goog-api-key` or `?key=` (Gemini).
   */
  apiKey?: string
  /**
   * Refuses by 400, in every vendor's name, what the strictest vendor or model template would refuse: a tool
   * call without its result, a result without its call, a conversation that does not start with the user or
   * in which a side speaks twice in a row, an empty message.
   *
   * @default false
   */
  strictMessages?: boolean
}

/** A running simulator. `await using` closes it. */
export interface Simulator extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, without a path. */
  readonly url: string
  readonly port: number
  /**
   * What the vendor's SDK takes as its base URL: `url` itself for `anthropic`, `gemini`, `google`, `cohere` and
   * `ollama`; `url` and `/v1` for `openai` and every other name, as OpenAI-compatible servers have it.
   */
  baseURL(provider: string): string
  /** The last 10,000 requests (fewer where their bodies exceed 256 MiB), oldest first. */
  readonly requests: readonly RequestRecord[]
  /** Streams that are being answered now. */
  readonly openStreams: number
  /** Connections of clients, idle ones included. */
  readonly openSockets: number
  /**
   * Queues a fault for the next requests, before any other fault.
   *
   * @param times how many requests get it. @default 1
   * @throws TypeError or RangeError when the fault or the number is not valid
   */
  failNext(fault: Fault, times?: number): void
  /**
   * Replaces the reply that the simulator was started with.
   *
   * @throws TypeError or RangeError when it is not valid
   */
  setReply(reply: Reply | ReplyFunction): void
  /** Forgets the requests, their counts and the queued faults. Running replies go on. */
  reset(): void
  /** Stops listening and destroys every open socket. May be called again. */
  close(): Promise<void>
}

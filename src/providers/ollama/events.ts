/**
 * Maps the lines and the whole replies of Ollama's `/api/chat` and `/api/generate` to chunks.
 *
 * Room `providers/ollama`: Ollama's client, requests and events. Imported by `providers`.
 */
import { ConvokeError } from '../../errors.ts'
import type { FinishReason } from '../../types.ts'
import type { ProviderChunk } from '../../provider.ts'
import { finishChunk, reportedUsage, startChunk } from '../shared/event-mapper.ts'
import type { EventMapper, ReplyLabels } from '../shared/event-mapper.ts'
import type { Fields } from '../shared/fields.ts'
import { ToolCalls } from '../shared/tool-calls.ts'
import type { FunctionCallFields } from '../shared/tool-calls.ts'

interface MessageFields {
  content?: string | null
  thinking?: string | null
  tool_calls?: FunctionCallFields[] | null
}

export class OllamaEventMapper implements EventMapper {
  readonly plainText =
    // eslint-disable-next-line no-control-regex -- JSON forbids control characters inside a string
    /^\{"model":"[^"\\]*","created_at":"[^"\\]*","message":\{"role":"assistant","content":"([^"\\\u0000-\u001f]+)"\},"done":false\}$/
  readonly #labels: ReplyLabels
  readonly #calls: ToolCalls
  #isStarted = false

  constructor(labels: ReplyLabels) {
    this.#labels = labels
    this.#calls = new ToolCalls(labels.provider)
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    const chunks: ProviderChunk[] = []
    if (!this.#isStarted) {
      this.#isStarted = true
      chunks.push(startChunk(undefined, body['model']))
    }
    const { content, thinking, tool_calls: calls } = messageOf(body)
    if (thinking) chunks.push({ type: 'reasoning', content: '', reasoning: thinking })
    // A line without any content is a sign of life.
    if (content || !(thinking || calls?.length)) chunks.push({ type: 'text', content: content ?? '' })
    for (const { id, function: call } of calls ?? []) {
      // Ollama sends every call whole, so two calls with one name are two calls. Few versions send ids.
      chunks.push(...this.#calls.delta({ id, name: call?.name, arguments: call?.arguments ?? {} }))
      chunks.push(...this.#calls.complete())
    }
    if (body['done'] === true) chunks.push(this.#finishChunk(body, raw))
    return chunks
  }

  end(): never {
    throw this.#error('stream_truncated', 'The stream ended without its terminal line ("done": true).')
  }

  whole(body: Fields, raw: unknown): ProviderChunk[] {
    if (!body['message'] && typeof body['response'] !== 'string') {
      throw this.#error('malformed_response', 'The reply has neither a message nor a response.')
    }
    if (body['done'] !== true) this.end()
    return this.event(body, raw)
  }

  #finishChunk(body: Fields, raw: unknown): ProviderChunk {
    const reason = typeof body['done_reason'] === 'string' ? body['done_reason'] : undefined
    // Ollama does not count a prompt that it still had in memory. Missing counts are estimated later.
    const usage = reportedUsage({ inputTokens: body['prompt_eval_count'], outputTokens: body['eval_count'] })
    return finishChunk(finishReasonOf(reason, this.#calls.size > 0), reason, usage, raw)
  }

  #error(code: 'malformed_response' | 'stream_truncated', message: string): ConvokeError {
    return new ConvokeError(code, message, this.#labels)
  }
}

/** The message of `/api/chat`; the fields of `/api/generate` in the same form. */
function messageOf(body: Fields): MessageFields {
  const message = body['message'] as MessageFields | null | undefined
  if (message) return message
  const { response, thinking, tool_calls } = body as MessageFields & { response?: string | null }
  return { content: response ?? null, thinking: thinking ?? null, tool_calls: tool_calls ?? null }
}

/** Old versions send no reason. The reasons `load` and `unload` end requests that only loaded or unloaded the model. */
function finishReasonOf(raw: string | undefined, hasCalls: boolean): FinishReason {
  switch (raw) {
    case undefined:
    case 'stop':
    case 'tool_calls':
      return hasCalls ? 'tool-calls' : 'stop'
    case 'length':
      return 'length'
    default:
      return 'other'
  }
}

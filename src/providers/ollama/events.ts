/** Ollama's lines, and whole replies, as chunks. */
import { ConvokeError } from '../../errors.ts'
import type { FinishReason } from '../../types.ts'
import type { EventMapper } from '../shared/chunk-reader.ts'
import type { ProviderChunk } from '../../provider.ts'
import { ToolCalls } from '../shared/tool-calls.ts'
import type { Fields, ToolCallFields } from './request.ts'

interface MessageFields {
  content?: string | null
  thinking?: string | null
  tool_calls?: ToolCallFields[] | null
}

/** Folds the lines of a stream, or a whole reply, of `/api/chat` and of `/api/generate`. */
export class ChatEventMapper implements EventMapper {
  readonly plainText =
    // eslint-disable-next-line no-control-regex -- JSON forbids them inside a string
    /^\{"model":"[^"\\]*","created_at":"[^"\\]*","message":\{"role":"assistant","content":"([^"\\\u0000-\u001f]+)"\},"done":false\}$/
  readonly #name: string
  readonly #model: string
  readonly #calls: ToolCalls
  #isStarted = false

  constructor(name: string, model: string) {
    this.#name = name
    this.#model = model
    this.#calls = new ToolCalls(name)
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    const chunks: ProviderChunk[] = []
    if (!this.#isStarted) {
      this.#isStarted = true
      chunks.push({
        type: 'start',
        content: '',
        ...(typeof body['model'] === 'string' ? { model: body['model'] } : {}),
      })
    }
    const { content, thinking, tool_calls: calls } = messageOf(body)
    if (thinking) chunks.push({ type: 'reasoning', content: '', reasoning: thinking })
    // A line without content is a sign of life.
    if (content || !(thinking || calls?.length)) chunks.push({ type: 'text', content: content ?? '' })
    for (const { id, function: call } of calls ?? []) {
      // Each call is whole, and two with the same name are two. Few versions give them ids.
      chunks.push(...this.#calls.delta({ id, name: call?.name, arguments: call?.arguments ?? {} }))
      chunks.push(...this.#calls.complete())
    }
    if (body['done'] === true) chunks.push(this.#finish(body, raw))
    return chunks
  }

  end(): never {
    throw new ConvokeError('stream_truncated', 'The stream ended without its terminal line ("done": true).', {
      provider: this.#name,
      model: this.#model,
    })
  }

  /** The chunks of a whole reply. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    if (!body['message'] && typeof body['response'] !== 'string') {
      throw new ConvokeError('malformed_response', 'The reply has neither a message nor a response.', {
        provider: this.#name,
        model: this.#model,
      })
    }
    if (body['done'] !== true) this.end()
    return this.event(body, raw)
  }

  #finish(body: Fields, raw: unknown): ProviderChunk {
    const reason = typeof body['done_reason'] === 'string' ? body['done_reason'] : undefined
    const { prompt_eval_count: input, eval_count: output } = body
    return {
      type: 'finish',
      content: '',
      finishReason: finishReasonOf(reason, this.#calls.size > 0),
      ...(reason ? { rawFinishReason: reason } : {}),
      usage: {
        // A prompt that Ollama still had in memory is not counted; what is missing is estimated.
        ...(typeof input === 'number' ? { inputTokens: input } : {}),
        ...(typeof output === 'number' ? { outputTokens: output } : {}),
      },
      raw,
    }
  }
}

function messageOf(body: Fields): MessageFields {
  const message = body['message'] as MessageFields | null | undefined
  if (message) return message
  const { response, thinking, tool_calls } = body as MessageFields & { response?: string | null }
  return { content: response ?? null, thinking: thinking ?? null, tool_calls: tool_calls ?? null }
}

/** Old versions give no reason; `load` and `unload` end a request that only moved the model. */
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

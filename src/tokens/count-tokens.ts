/**
 * Counts tokens: exactly for models whose vocabulary is public (OpenAI's), by an estimate for all others. Responses for
 * which the vendor reported no usage are estimated here too.
 *
 * Room `tokens`: counts and estimates tokens, and sends nothing. Imported by `blocking`, `blocking/thread`,
 * `combinators`, `index`, `llm`, `providers/cohere`, `response`, `session`, `workers`.
 */
import { estimateTokenCount } from 'tokenx'
import { ConvokeError } from '../errors.ts'
import { normalizePrompt } from '../request/normalize-prompt.ts'
import { encodingOf } from './bpe/encodings.ts'
import type { Encoding } from './bpe/encodings.ts'
import { scaleOf } from './estimate-scale.ts'
import { requestTexts } from './request-texts.ts'
import type { CountedRequest } from './request-texts.ts'
import type { Message, Prompt, ToolDefinition } from '../types.ts'

export type { Encoding }

/** A number of tokens, and how it is known. */
export interface TokenCount {
  /** The number of tokens. */
  tokens: number
  /**
   * `exact`: counted with the model's own vocabulary. `vendor`: counted by the vendor. `estimate`: computed from the
   * characters; when `encoding` is present, the text was counted exactly, and only the rest of the request (tools,
   * pictures) was estimated.
   */
  method: 'exact' | 'vendor' | 'estimate'
  /** The vocabulary that the text was counted with. Absent when it is not known. */
  encoding?: Encoding
}

/** Options of `countTokens`. */
export interface CountTokensOptions {
  /** The model that is going to read the prompt: `gpt-4o` or `openai/gpt-4o`. */
  model: string
  /** The system prompt. */
  system?: string
  /** The conversation so far; the input is appended to it. */
  messages?: readonly Message[]
  /** Tools that the request offers; their definitions are input too. */
  tools?: readonly ToolDefinition[]
  /** Throw instead of estimating. @default false */
  exact?: boolean
}

/** The assumed tokens of a picture or a file. Vendors count by its size, from about 250 to 1 600. */
const mediaTokens = 800
/** The UTF-16 units of a slice when a text is estimated in slices; a slice takes about 5 ms. */
const sliceUnits = 65_536
/** The tokens of a message besides its text, on most vendors. */
const messageTokens = 4
/** The tokens that prime the reply, on OpenAI's models. */
const replyTokens = 3

/**
 * Models whose tokens around the messages are known: 4 for each message and 3 at the end. OpenAI published the figures
 * for gpt-3.5-turbo, gpt-4 and gpt-4o, and recorded requests to gpt-4.1 agree with them.
 * https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken
 */
const knownFrame = /^(openai\/|azure\/)?(gpt-4o|gpt-4\.1|gpt-4|gpt-3\.5-turbo|gpt-35-turbo)(?![a-z0-9.])/

/**
 * Counts the tokens of a text, or of a prompt including what a request adds around its messages. Sends nothing.
 *
 * For OpenAI's models the text is counted with their vocabulary, which a worker thread reads from disk once. Tokens for
 * other models are estimated by tokenx, with a factor for Claude and for Gemini. The error of the estimates, against
 * the output tokens in recorded replies of nothing but text (lowest, median, highest): -12, +3, +16 % on Claude up to
 * Opus 4.6 (13 replies); -31, +1, +21 % on Gemini (14); 0, +4, +7 % on Mistral, DeepSeek, Llama, Qwen, Gemma and Sonar
 * (10). Claude from Opus 4.7 on is assumed to make 1.35 times as many tokens as before, the highest figure that
 * Anthropic names; there was no reply to measure it. There were too few replies of Cohere's and of other models. A
 * picture or a file counts as 800 tokens whatever its size. Pictures, files, tools and tool calls make the whole count
 * an estimate.
 *
 * Up to 4 096 characters per iteration of the event loop are counted on the calling thread, in 0.2 ms. Longer texts go
 * in slices to worker threads, as many as there are cores, so the event loop stays free. A text without a place to cut,
 * such as megabytes of one letter, cannot be sliced: one thread counts it in 0.1 to 0.3 s for each megabyte, and needs
 * no more memory than a few copies of the text.
 *
 * @throws ConvokeError `invalid_request` for an invalid prompt, and with `exact` when only an estimate is possible;
 * `missing_dependency` when the vocabulary's file cannot be read
 */
export async function countTokens(input: Prompt, options: CountTokensOptions): Promise<TokenCount> {
  const { model, exact = false } = options
  if (typeof model !== 'string' || model === '') {
    throw new ConvokeError('invalid_request', 'No model. Pass countTokens(input, { model }).')
  }
  const isText = typeof input === 'string' && !options.system && !options.messages && !options.tools?.length
  const count = isText
    ? await countText(input, model)
    : await countRequest({ ...normalizePrompt(input, options, () => {}), model, ...toolsOf(options) })
  if (exact && count.method !== 'exact') {
    const remedy =
      'Let the vendor count with createLLM(…).countTokens(prompt, { exact: true }), or leave out exact for an estimate.'
    throw new ConvokeError('invalid_request', `${whyEstimated(count, model)} ${remedy}`, { model })
  }
  return count
}

/** Counts the tokens of a request without asking the vendor. */
export async function countRequest(request: CountedRequest): Promise<TokenCount> {
  const encoding = encodingOf(request.model)
  const { texts, messages, media, isPlain } = requestTexts(request)
  const text = await countTexts(texts, encoding)
  const around = messages * messageTokens + media * mediaTokens
  if (!encoding) return { tokens: scaleForModel(text, request.model) + around, method: 'estimate' }
  const system = request.system ? messageTokens : 0
  return {
    tokens: text + around + system + replyTokens,
    method: isPlain && knownFrame.test(request.model) ? 'exact' : 'estimate',
    encoding,
  }
}

/** Says why a count is only an estimate. */
export function whyEstimated({ encoding }: TokenCount, model: string): string {
  return encoding
    ? `The tokens that ${model} reads around the text of this prompt are not public.`
    : `The vocabulary of ${model} is not public.`
}

/**
 * Estimates the tokens of a text for OpenAI's models, from its characters. `scaleForModel` adapts them to other models.
 */
export function estimateTokens(text: string): number {
  return text === '' ? 0 : estimateTokenCount(text)
}

/** Adapts estimated tokens to a model whose vocabulary differs from OpenAI's. */
export function scaleForModel(tokens: number, model: string | undefined): number {
  return Math.ceil(tokens * scaleOf(model))
}

/**
 * Estimates the tokens of a whole request. Pictures and files count a fixed number; their bytes are never read as text.
 */
export function estimateInputTokens(request: CountedRequest): number {
  const { texts, messages, media } = requestTexts(request)
  const around = messages * messageTokens + media * mediaTokens
  const tokens = texts.reduce((sum, text) => sum + estimateTokens(text), 0)
  return scaleForModel(tokens, request.model) + around
}

/**
 * Like `estimateInputTokens`, but in slices, so that the caller can pause between them. Yields the characters of each
 * slice, and returns the tokens.
 */
export function* estimateInSlices(request: CountedRequest): Generator<number, number, void> {
  const { texts, messages, media } = requestTexts(request)
  let tokens = 0
  for (const text of texts) {
    for (let from = 0; from < text.length; from += sliceUnits) {
      const slice = text.slice(from, from + sliceUnits)
      tokens += estimateTokens(slice)
      yield slice.length
    }
  }
  return scaleForModel(tokens, request.model) + messages * messageTokens + media * mediaTokens
}

async function countText(text: string, model: string): Promise<TokenCount> {
  const encoding = encodingOf(model)
  const tokens = await countTexts([text], encoding)
  if (encoding) return { tokens, method: 'exact', encoding }
  return { tokens: scaleForModel(tokens, model), method: 'estimate' }
}

/**
 * Loads the counter with the first count: most programs never count, and it takes a quarter of the library's import
 * time.
 */
async function countTexts(texts: string[], encoding: Encoding | undefined): Promise<number> {
  const counter = await import('./counter.ts')
  return counter.countTexts(texts, encoding ?? 'estimate')
}

function toolsOf({ tools }: CountTokensOptions): { tools?: readonly ToolDefinition[] } {
  return tools ? { tools } : {}
}

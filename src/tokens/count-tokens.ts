/** Token counts: exact where the vocabulary is known, estimates elsewhere and where a vendor gave no usage. */
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

/** How many tokens, and how that is known. */
export interface TokenCount {
  tokens: number
  /**
   * `exact`: counted by the model's own vocabulary. `vendor`: the vendor's own count. `estimate`: by the characters, or,
   * where `encoding` is there, the text by its vocabulary and the rest of the request (tools, pictures) by experience.
   */
  method: 'exact' | 'vendor' | 'estimate'
  /** The vocabulary that the text was counted by. */
  encoding?: Encoding
}

export interface CountTokensOptions {
  /** The model that is to read it: `gpt-4o`, also `openai/gpt-4o`. */
  model: string
  system?: string
  /** Conversation so far; the input is appended to it. */
  messages?: readonly Message[]
  tools?: readonly ToolDefinition[]
  /** Refuse to estimate. @default false */
  exact?: boolean
}

/** Tokens that a picture or a file is taken for; vendors count by size, within about 250 to 1 600. */
const mediaTokens = 800
/** Of a text that is estimated in pieces: some 5 ms. */
const pieceUnits = 65_536
/** What a message costs beside its text, on most vendors. */
const messageTokens = 4
/** What the reply's beginning costs, on OpenAI's models. */
const replyTokens = 3

/**
 * Models whose tokens around messages are known, 4 for each and 3 in the end: OpenAI published those of gpt-3.5-turbo,
 * gpt-4 and gpt-4o, and recorded requests to gpt-4.1 agree.
 * https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken.
 */
const knownFrame = /^(openai\/|azure\/)?(gpt-4o|gpt-4\.1|gpt-4|gpt-3\.5-turbo|gpt-35-turbo)(?![a-z0-9.])/

/**
 * Counts the tokens of a text, or of a prompt with what a request puts around its messages. Sends nothing.
 *
 * Of OpenAI's models the text is counted by their vocabulary, which is read from disk once, in a worker thread. Others are
 * estimated, by tokenx and a factor for Claude and for Gemini. Against the output tokens in recorded replies of text
 * alone (least, middle, most): -12, +3, +16 % on Claude up to Opus 4.6 (13 replies), -31, +1, +21 % on Gemini (14), 0, +4,
 * +7 % on Mistral, DeepSeek, Llama, Qwen, Gemma and Sonar (10). Claude from Opus 4.7 on is taken to make 1.35 times as many
 * tokens as before, the most that Anthropic says; no reply was there to measure it. Of Cohere's and other models there were
 * too few. A picture or a file counts 800 tokens, whatever its bytes are, and makes an estimate of the whole, as tools and
 * tool calls do.
 *
 * Up to 4 096 characters in a turn of the event loop are counted on the calling thread, in 0.2 ms; more in worker threads,
 * as many as there are cores, in slices: the event loop stays free. A run without a place to split, such as megabytes of
 * one letter, cannot be sliced; it takes 0.1 to 0.3 s for each megabyte, in one thread, and no more memory than a few
 * copies of its text.
 *
 * @throws ConvokeError `invalid_request` for a prompt that is none, and with `exact` where only an estimate is possible
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
      'Ask the vendor by createLLM(…).countTokens(prompt, { exact: true }), or take the estimate.'
    throw new ConvokeError('invalid_request', `${lacks(count, model)} ${remedy}`, { model })
  }
  return count
}

/** Tokens of a request, without asking the vendor. */
export async function countRequest(request: CountedRequest): Promise<TokenCount> {
  const encoding = encodingOf(request.model)
  const { texts, messages, media, isPlain } = requestTexts(request)
  const text = await countTexts(texts, encoding)
  const around = messages * messageTokens + media * mediaTokens
  if (!encoding) return { tokens: scaled(text, request.model) + around, method: 'estimate' }
  const system = request.system ? messageTokens : 0
  return {
    tokens: text + around + system + replyTokens,
    method: isPlain && knownFrame.test(request.model) ? 'exact' : 'estimate',
    encoding,
  }
}

/** Why a count is no more than an estimate. */
export function lacks({ encoding }: TokenCount, model: string): string {
  return encoding
    ? `What ${model} reads around the text of this prompt is not published.`
    : `The vocabulary of ${model} is not public.`
}

/** Tokens of a text, estimated by its characters, as OpenAI's models would read it; `scaled` knows of others. */
export function estimateTokens(text: string): number {
  return text === '' ? 0 : estimateTokenCount(text)
}

/** Estimated tokens as a model reads them. */
export function scaled(tokens: number, model: string | undefined): number {
  return Math.ceil(tokens * scaleOf(model))
}

/** Tokens of everything that a request sends, estimated. Bytes of pictures and files are never read as text. */
export function estimateInputTokens(request: CountedRequest): number {
  const { texts, messages, media } = requestTexts(request)
  const around = messages * messageTokens + media * mediaTokens
  const tokens = texts.reduce((sum, text) => sum + estimateTokens(text), 0)
  return scaled(tokens, request.model) + around
}

/** As `estimateInputTokens`, in pieces: gives the characters of each, and the tokens in the end. */
export function* estimateByPieces(request: CountedRequest): Generator<number, number, void> {
  const { texts, messages, media } = requestTexts(request)
  let tokens = 0
  for (const text of texts) {
    for (let from = 0; from < text.length; from += pieceUnits) {
      const piece = text.slice(from, from + pieceUnits)
      tokens += estimateTokens(piece)
      yield piece.length
    }
  }
  return scaled(tokens, request.model) + messages * messageTokens + media * mediaTokens
}

async function countText(text: string, model: string): Promise<TokenCount> {
  const encoding = encodingOf(model)
  const tokens = await countTexts([text], encoding)
  if (encoding) return { tokens, method: 'exact', encoding }
  return { tokens: scaled(tokens, model), method: 'estimate' }
}

/** The counter is loaded by the first count: most calls have none, and the import is a quarter of the library's. */
async function countTexts(texts: string[], encoding: Encoding | undefined): Promise<number> {
  const counter = await import('./counter.ts')
  return counter.countTexts(texts, encoding ?? 'estimate')
}

function toolsOf({ tools }: CountTokensOptions): { tools?: readonly ToolDefinition[] } {
  return tools ? { tools } : {}
}

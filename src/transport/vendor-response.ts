/** A vendor's answer whose bytes nobody has touched: read as a whole, or event by event. */
import { ConvokeError, isConvokeError } from '../errors.ts'
import { vendorError } from './vendor-error.ts'
import { maxTimerMs } from '../policies/deadline.ts'
import { arrival } from './body.ts'
import type { ByteSource } from './body.ts'
import { TextPieces } from './decode.ts'
import type { WireDecoder, WireEvent } from './decode.ts'
import { readVendorFault } from './fault.ts'
import type { Secrets } from './secrets.ts'

/** What a reply belongs to. */
export interface VendorResponseContext {
  provider: string
  model?: string
  signal: AbortSignal
  /** Longest silence inside the body of a plain reply. */
  idleMs: number
  /** @default 64 MiB for a plain reply, which is held as a whole, 256 MiB for a stream */
  maxResponseBytes: number | undefined
  secrets: Secrets
}

const maxPlainBytes = 64 * 1_024 * 1_024
/** Of an error's body more is not read. */
const maxErrorBytes = 1_024 * 1_024
const maxStreamBytes = 256 * 1_024 * 1_024

export class VendorResponse {
  readonly #source: ByteSource
  readonly #context: VendorResponseContext
  #bytesRead = 0

  constructor(source: ByteSource, context: VendorResponseContext) {
    this.#source = source
    this.#context = context
  }

  /** Closes the socket, unless the body was read to its end. */
  destroy(): void {
    this.#source.destroy()
  }

  /** The reply is whole: lets what may follow pass, and the socket be used again. */
  finish(): void {
    this.#source.drain()
  }

  /** The body as text. @throws ConvokeError `stream_truncated` when it breaks off, `timeout` when it stands still */
  async text(maxBytes = this.#context.maxResponseBytes ?? maxPlainBytes): Promise<string> {
    const pieces = new TextPieces()
    const silence = this.#watchSilence()
    let text = ''
    try {
      for (;;) {
        await arrival(this.#source)
        const bytes = this.#take(maxBytes)
        if (!bytes) break
        silence.refresh()
        text += pieces.push(bytes)
      }
      return text + pieces.end()
    } finally {
      silence.stop()
      this.destroy()
    }
  }

  /** The body as JSON, and the same with every key of the caller taken out. */
  async json(): Promise<{ body: unknown; raw: unknown }> {
    const text = await this.text()
    const body = this.#parse(text)
    return { body, raw: this.#context.secrets.clean(body, text) }
  }

  /** Whether no events can be there yet; then `ready` is called, once, when there may be. */
  wait(ready: () => void): boolean {
    return this.#source.wait(ready)
  }

  /** After `wait`: the events that the new bytes complete, maybe none; undefined behind the end of the body. */
  events(decoder: WireDecoder): WireEvent[] | undefined {
    const bytes = this.#take(this.#context.maxResponseBytes ?? maxStreamBytes)
    if (!bytes) return undefined
    try {
      return decoder.push(bytes)
    } catch (error) {
      throw this.#named(error)
    }
  }

  /** The data of one event as JSON; undefined for a tail that the end of the connection cut off. */
  parse(event: WireEvent): unknown {
    try {
      return JSON.parse(event.data)
    } catch {
      // The parser's own error quotes the text, keys and all.
      if (event.isTail) return undefined
      throw this.#malformed(`The vendor sent an event that is not JSON: ${this.#excerpt(event.data)}`)
    }
  }

  /** What was parsed from an event, without any key of the caller. */
  clean(body: unknown, event: WireEvent): unknown {
    return this.#context.secrets.clean(body, event.data)
  }

  /** A text without any key of the caller. */
  redact(text: string): string {
    return this.#context.secrets.redact(text)
  }

  /** The body of a failed request as an error. */
  async failure({ status, headers }: { status: number; headers: Headers }): Promise<ConvokeError> {
    const { secrets } = this.#context
    let text: string
    try {
      text = await this.text(maxErrorBytes)
    } catch (error) {
      // The status is known; a body that breaks off does not change what it says.
      if (isConvokeError(error) && (error.code === 'cancelled' || error.code === 'timeout')) throw error
      text = ''
    }
    let body: unknown
    try {
      body = secrets.clean(JSON.parse(text), text)
    } catch {
      // Plain text or HTML, as proxies send it.
      body = secrets.redact(text)
    }
    const shown = Object.fromEntries([...headers].map((pair) => pair.map((text) => secrets.redact(text))))
    const cause = Object.assign(new Error(`status ${status}`), { status, body, headers: shown })
    cause.name = 'VendorResponse'
    return vendorError(readVendorFault(body, status, headers), { ...this.#labels(), cause })
  }

  #labels(): { provider: string; model?: string } {
    const { provider, model } = this.#context
    return model ? { provider, model } : { provider }
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch {
      if (!isCutOff(text)) throw this.#malformed(`The vendor's reply is not JSON: ${this.#excerpt(text)}`)
      throw new ConvokeError(
        'stream_truncated',
        `The reply ended before it was whole: ${this.#excerpt(text)}`,
        this.#labels(),
      )
    }
  }

  #excerpt(text: string): string {
    const clean = this.redact(text)
    return clean.length > 120 ? `${clean.slice(0, 120)}…` : clean || '(empty)'
  }

  #malformed(message: string): ConvokeError {
    return new ConvokeError('malformed_response', message, this.#labels())
  }

  #named(error: unknown): unknown {
    return isConvokeError(error) && !error.provider
      ? new ConvokeError(error.code, error.message, { ...this.#labels(), cause: error.cause })
      : error
  }

  /** The next piece of the body, undefined at its end. */
  #take(maxBytes: number): Uint8Array | undefined {
    const { signal } = this.#context
    let bytes: Uint8Array | undefined
    try {
      bytes = this.#source.take()
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (isConvokeError(error)) throw this.#named(error)
      // zlib's own word for an end that came too soon is Z_BUF_ERROR.
      const { code = '' } = error as NodeJS.ErrnoException
      if (/^(Z_|ERR_PADDING|ERR_BROTLI|ERR__ERROR)/.test(code) && code !== 'Z_BUF_ERROR') {
        throw this.#malformed(`The reply's compression is broken: ${this.redact(String(error))}`)
      }
      throw new ConvokeError('stream_truncated', 'The connection broke before the reply was whole.', {
        ...this.#labels(),
        cause: this.#context.secrets.cleanError(error),
      })
    }
    if (signal.aborted) throw signal.reason
    if (!bytes) return undefined
    this.#bytesRead += bytes.length
    if (this.#bytesRead <= maxBytes) return bytes
    this.destroy()
    throw this.#malformed(
      `The reply is longer than maxResponseBytes ${maxBytes}. Raise maxResponseBytes if the vendor means it.`,
    )
  }

  /** Ends the body after a silence of `idleMs`; its headers came, so the vendor had begun. */
  #watchSilence(): { refresh: () => void; stop: () => void } {
    const { idleMs } = this.#context
    if (idleMs > maxTimerMs) return { refresh: () => {}, stop: () => {} }
    const timer = setTimeout(() => {
      const message = `The reply stood still for idleMs ${idleMs}.`
      this.#source.destroy(new ConvokeError('timeout', message, { ...this.#labels(), phase: 'idle' }))
    }, idleMs)
    return { refresh: () => timer.refresh(), stop: () => clearTimeout(timer) }
  }
}

/** Whether a text is the beginning of a JSON object or list: a bracket or a string in it is still open. */
function isCutOff(text: string): boolean {
  if (!/^\s*([[{]|$)/.test(text)) return false
  let depth = 0
  let isInString = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (isInString) {
      if (character === '\\') at++
      else if (character === '"') isInString = false
    } else if (character === '"') isInString = true
    else if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') depth--
  }
  return depth > 0 || isInString || text.trim() === ''
}

/** The response of a vendor, whose bytes the SDK has not seen. It is read as a whole or event by event. */
import { ConvokeError, isConvokeError } from '../errors.ts'
import { vendorError } from './vendor-error.ts'
import { maxTimerMs } from '../policies/deadline.ts'
import { whenReady } from './byte-source.ts'
import type { ByteSource } from './byte-source.ts'
import { Utf8Decoder } from './wire-decoder.ts'
import type { WireDecoder, WireEvent } from './wire-decoder.ts'
import { readVendorError } from './read-vendor-error.ts'
import type { Secrets } from './secrets.ts'

/** The request that a response belongs to, and the limits of its body. */
export interface VendorResponseContext {
  provider: string
  model?: string
  signal: AbortSignal
  /** The longest silence inside the body of a plain reply, in milliseconds. */
  idleMs: number
  /** The largest body. @default 64 MiB for a plain reply, which is held in memory as a whole, 256 MiB for a stream */
  maxResponseBytes: number | undefined
  secrets: Secrets
}

const maxPlainBytes = 64 * 1_024 * 1_024
/** The body of an error is read up to this length. */
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

  /** Closes the socket unless the body was read to its end. */
  destroy(): void {
    this.#source.destroy()
  }

  /** Discards what follows a complete reply, so that the connection can serve another request. */
  finish(): void {
    this.#source.drain()
  }

  /**
   * The body as text.
   * @throws ConvokeError `stream_truncated` when the body breaks off, `timeout` after a silence of `idleMs`,
   * `malformed_response` when it is longer than `maxBytes`
   */
  async text(maxBytes = this.#context.maxResponseBytes ?? maxPlainBytes): Promise<string> {
    const pieces = new Utf8Decoder()
    const silence = this.#watchSilence()
    let text = ''
    try {
      for (;;) {
        await whenReady(this.#source)
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

  /** The body as JSON, and `raw`, the same with every key of the caller taken out. */
  async json(): Promise<{ body: unknown; raw: unknown }> {
    const text = await this.text()
    const body = this.#parse(text)
    return { body, raw: this.#context.secrets.clean(body, text) }
  }

  /** Whether no bytes have arrived yet. If so, `ready` is called once: when bytes arrive or the body ends. */
  wait(ready: () => void): boolean {
    return this.#source.wait(ready)
  }

  /** After `wait`: the events that the new bytes complete, possibly none; undefined at the end of the body. */
  events(decoder: WireDecoder): WireEvent[] | undefined {
    const bytes = this.#take(this.#context.maxResponseBytes ?? maxStreamBytes)
    if (!bytes) return undefined
    try {
      return decoder.push(bytes)
    } catch (error) {
      throw this.#labelled(error)
    }
  }

  /** The data of one event as JSON; undefined for an event that the end of the connection cut off. */
  parse(event: WireEvent): unknown {
    try {
      return JSON.parse(event.data)
    } catch {
      // The parser's own error is dropped, because it quotes the text, which may hold a key.
      if (event.isTail) return undefined
      throw this.#malformed(`The vendor sent an event that is not JSON: ${this.#excerpt(event.data)}`)
    }
  }

  /** The value that was parsed from an event, with every key of the caller taken out. */
  clean(body: unknown, event: WireEvent): unknown {
    return this.#context.secrets.clean(body, event.data)
  }

  /** A text with every key of the caller taken out. */
  redact(text: string): string {
    return this.#context.secrets.redact(text)
  }

  /** Reads the body of a failed request, and gives it as an error. */
  async failure({ status, headers }: { status: number; headers: Headers }): Promise<ConvokeError> {
    const { secrets } = this.#context
    let text: string
    try {
      text = await this.text(maxErrorBytes)
    } catch (error) {
      // A body that breaks off does not matter, because the status says enough.
      if (isConvokeError(error) && (error.code === 'cancelled' || error.code === 'timeout')) throw error
      text = ''
    }
    let body: unknown
    try {
      body = secrets.clean(JSON.parse(text), text)
    } catch {
      // Proxies send plain text or HTML.
      body = secrets.redact(text)
    }
    const shown = Object.fromEntries([...headers].map((pair) => pair.map((text) => secrets.redact(text))))
    const cause = Object.assign(new Error(`status ${status}`), { status, body, headers: shown })
    cause.name = 'VendorResponse'
    return vendorError(readVendorError(body, status, headers), { ...this.#labels(), cause })
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

  #labelled(error: unknown): unknown {
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
      if (isConvokeError(error)) throw this.#labelled(error)
      // zlib reports an early end as Z_BUF_ERROR. That is a truncated reply, and any other code a malformed one.
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
      `The reply is longer than maxResponseBytes ${maxBytes}. Raise maxResponseBytes if the vendor sends such long ones.`,
    )
  }

  /** Ends the body after a silence of `idleMs`. The headers have come, so that the phase is `idle`. */
  #watchSilence(): { refresh: () => void; stop: () => void } {
    const { idleMs } = this.#context
    if (idleMs > maxTimerMs) return { refresh: () => {}, stop: () => {} }
    const timer = setTimeout(() => {
      const message = `The reply was silent for idleMs ${idleMs}.`
      this.#source.destroy(new ConvokeError('timeout', message, { ...this.#labels(), phase: 'idle' }))
    }, idleMs)
    return { refresh: () => timer.refresh(), stop: () => clearTimeout(timer) }
  }
}

/** Whether a text is the beginning of a JSON object or list, in which a bracket or a string is still open. */
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

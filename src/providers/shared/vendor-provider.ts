/** The part of a built-in provider that is the same for every vendor: streams and plain replies. */
import { SseDecoder } from '../../transport/wire-decoder.ts'
import type { WireDecoder } from '../../transport/wire-decoder.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import type { ChatRequest, Provider, ProviderChunk, ProviderConfig } from '../../provider.ts'
import type { ReplyLabels, ReplyMapper } from './event-mapper.ts'
import { VendorConnection } from './vendor-connection.ts'

/**
 * A vendor's provider extends this class: it sends a request through the SDK, and says how the reply is mapped. The
 * configuration is private, so that printing a provider shows no key.
 */
export abstract class VendorProvider implements Provider {
  readonly name: string
  readonly #config: ProviderConfig
  readonly #connection: VendorConnection

  /** @param ownFetch the user's own fetch; undefined for convoke's transport */
  constructor(config: ProviderConfig, ownFetch: () => Fetch | undefined) {
    this.name = config.name
    this.#config = config
    this.#connection = new VendorConnection(config, ownFetch)
  }

  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<readonly ProviderChunk[]> {
    return this.#connection.streamChunks(
      () => this.send(request, signal, true),
      this.decoder(),
      this.#mapper(request),
      request.model,
    )
  }

  generate(request: ChatRequest, signal: AbortSignal): Promise<ProviderChunk[]> {
    const sent = this.send(request, signal, false)
    return this.#connection.wholeChunks(sent, this.#mapper(request), request.model)
  }

  protected get config(): ProviderConfig {
    return this.#config
  }

  protected get connection(): VendorConnection {
    return this.#connection
  }

  /** Sends a request to the model, for a stream or for a plain reply. */
  protected abstract send(request: ChatRequest, signal: AbortSignal, stream: boolean): Promise<VendorResponse>

  /** A mapper for one reply. */
  protected abstract replyMapper(labels: ReplyLabels): ReplyMapper

  /** A decoder for one stream: server-sent events, unless the vendor has another format. */
  protected decoder(): WireDecoder {
    return new SseDecoder(this.#config.maxLineBytes)
  }

  #mapper({ model }: ChatRequest): ReplyMapper {
    return this.replyMapper({ provider: this.name, model })
  }
}

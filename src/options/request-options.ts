/** The options of requests beside the calls. Types only. */

/** Options of a request that generates nothing: a list of models, say. */
export interface RequestOptions {
  /** Ends the request with `cancelled`. */
  signal?: AbortSignal
}

/**
 * Keeps the clients of an SDK by API key, because some SDKs take long to make one. One client serves many requests;
 * each request brings its own fetch (see `interceptingFetch`).
 */
export class ClientCache<Client> {
  readonly #byKey = new Map<string | undefined, Client>()
  readonly #make: (key: string | undefined) => Client

  constructor(make: (key: string | undefined) => Client) {
    this.#make = make
  }

  of(key: string | undefined): Client {
    let client = this.#byKey.get(key)
    if (!client) {
      // An apiKey function may return a new key for every request, so the cache must not grow without a bound.
      if (this.#byKey.size >= maxClients) this.#byKey.clear()
      client = this.#make(key)
      this.#byKey.set(key, client)
    }
    return client
  }
}

const maxClients = 16

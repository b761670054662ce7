/** createSession: a conversation whose history is kept in a store. */
import { randomUUID } from 'node:crypto'
import { generateBlocking } from '../blocking/generate.ts'
import type { BlockingOptions, GenerateOptions } from '../options/generate-options.ts'
import { beginCall } from '../threads/calls-in-flight.ts'
import { discard } from '../threads/recipe.ts'
import type { BlockingStream } from '../blocking/blocking-stream.ts'
import { ConvokeError, abortedError, isConvokeError } from '../errors.ts'
import type { LLM } from '../llm/llm.ts'
import { checkCallOptions } from '../options/call-rules.ts'
import { checkSessionOptions } from './check-session-options.ts'
import { writeUnwritten } from '../store/unwritten-ends.ts'
import { messageId } from '../store/message-id.ts'
import { sqliteStore } from '../store/sqlite/sqlite-store.ts'
import type { ReadOptions, SearchHit, SessionRecord, Store, StoredMessage } from '../store/store.ts'
import { ResponseStream } from '../response/response-stream.ts'
import type { Prompt } from '../types.ts'
import type { ResponseTo } from '../options/response-to.ts'
import { compact } from './compaction.ts'
import { exportLines, parseExportLines, yieldingToEventLoop } from './export-lines.ts'
import { fitContext, windowBudget } from './fit-context.ts'
import { dropUnanswered, openCalls } from './history.ts'
import { storablePrompt } from './storable-prompt.ts'
import type { CompactOptions, SessionCallOptions, SessionOptions } from './session-options.ts'
import { readRecent } from './read-tail.ts'
import { Turn } from './turn.ts'
import type { SessionResponse } from './turn.ts'
import { enterQueue } from './turn-queue.ts'
import { beginsTurn } from './context-window.ts'
import { countAhead, totalTokens } from './history-tokens.ts'

/**
 * Makes a conversation with an LLM whose history is kept in a store. It is synchronous and cheap: the store is opened at
 * first use.
 *
 * @example
 * await using session = createSession(createLLM('openai/gpt-4o-mini'), { store: 'chat.db', id: 'alice' })
 * await session.agenerate('My name is Alice')
 *
 * @throws ConvokeError `configuration` for a bad option
 */
export function createSession(llm: LLM, options: SessionOptions = {}): Session {
  checkSessionOptions(options)
  return new Session(llm, options)
}

/**
 * Makes a session from the lines that `session.export()` gave: one text, or its pieces. It gets a new id, or
 * `options.id`.
 *
 * @example
 * const session = await importSession(llm, createReadStream('alice.jsonl', 'utf8'), { store: 'chat.db' })
 *
 * @throws ConvokeError `invalid_request` for lines that are no such export, or an export of a newer format, and for an id
 * whose session has messages; `configuration` for a bad option. Nothing is kept then.
 */
export async function importSession(
  llm: LLM,
  lines: string | Iterable<string> | AsyncIterable<string>,
  options: SessionOptions = {},
): Promise<Session> {
  checkSessionOptions(options)
  const { session: found, messages } = await parseExportLines(lines)
  const { id = found.id, system = found.system, metadata = found.metadata } = options
  const kept = {
    id,
    ...(system === undefined ? {} : { system }),
    ...(metadata === undefined ? {} : { metadata }),
  }
  const session = new Session(llm, { ...options, ...kept })
  try {
    await session.store.importSession(kept, messages)
    return session
  } catch (error) {
    // This closes a store that the session has opened. The caller gets the first error, not one of closing.
    await session.close().catch(() => {})
    throw error
  }
}

/** A conversation whose history is kept in a store. Make one with `createSession` or `importSession`. */
export class Session implements AsyncDisposable {
  /** The id in the store; `createSession` with the same id and store goes on with the conversation. */
  readonly id: string
  /** The LLM that the next turn asks. You may assign another one, also another vendor's. */
  llm: LLM
  readonly #options: SessionOptions
  readonly #store: Store
  readonly #turns = new Set<Turn>()
  #opened: Promise<SessionRecord> | undefined
  /** Work that runs between the turns, such as a compaction. */
  readonly #workBetweenTurns = new Set<Promise<unknown>>()
  readonly #closing = new AbortController()
  #closed: Promise<void> | undefined

  /** @internal */
  constructor(llm: LLM, options: SessionOptions) {
    this.llm = llm
    this.#options = options
    this.id = options.id ?? randomUUID()
    this.#store =
      typeof options.store === 'object'
        ? options.store
        : sqliteStore(options.store === undefined ? {} : { path: options.store })
  }

  /** The store of the history. */
  get store(): Store {
    return this.#store
  }

  /**
   * Takes one turn: the prompt is sent with the history, and the prompt and the reply are kept. A reply that could not be
   * written is delivered all the same, with `persisted: false`. The response is typed as that of `LLM.agenerate`.
   *
   * @throws ConvokeError the errors of a call; `session_busy` with `turns: 'reject'`; the store's error when not even the
   * prompt could be written, and then nothing was sent
   */
  agenerate<Output = never, Tool extends string = never, Stream extends boolean = false>(
    prompt: Prompt,
    options?: SessionCallOptions<Output, Tool> & { stream?: Stream },
  ): Stream extends true
    ? ResponseStream<SessionResponse & ResponseTo<Output, Tool>>
    : Promise<SessionResponse & ResponseTo<Output, Tool>>
  agenerate(
    prompt: Prompt,
    options: SessionCallOptions & { stream?: boolean } = {},
  ): Promise<SessionResponse> | ResponseStream<SessionResponse> {
    if (options.stream) return this.stream(prompt, options)
    return this.#runTurn(prompt, options)
  }

  /**
   * Takes one turn, chunk by chunk as the reply arrives. The `finish` chunk and `response` come when the reply is on disk.
   * Read the stream to its end, or leave it: the session's next turns wait until then. A stream that nobody reads keeps a
   * reply of up to `bufferSize` chunks. A longer reply ends with `timeout` after `timeouts.totalMs` (ten minutes), and the
   * part that had arrived is kept.
   *
   * @throws ConvokeError `invalid_request` at once for a bad option. A later error ends the stream.
   */
  stream<Output = never, Tool extends string = never>(
    prompt: Prompt,
    options?: SessionCallOptions<Output, Tool> & { stream?: boolean },
  ): ResponseStream<SessionResponse & ResponseTo<Output, Tool>>
  stream(
    prompt: Prompt,
    options: SessionCallOptions & { stream?: boolean } = {},
  ): ResponseStream<SessionResponse> {
    const turn = this.#createTurn(prompt, options)
    const { bufferSize = 100 } = { ...this.llm.defaults.streamConfig, ...options.streamConfig }
    return new ResponseStream(turn, bufferSize)
  }

  /**
   * Takes one turn while this thread waits; see `LLM.generate`. The turn is written to the same file, so turns of both
   * kinds may follow each other.
   *
   * @throws ConvokeError the errors of `agenerate`, and `blocking_unavailable` as from `LLM.generate`; besides that for a
   * store that no other thread can open
   */
  generate<Output = never, Tool extends string = never, Stream extends boolean = false>(
    prompt: Prompt,
    options?: BlockingOptions<SessionCallOptions<Output, Tool>> & { stream?: Stream },
  ): Stream extends true
    ? BlockingStream<SessionResponse & ResponseTo<Output, Tool>>
    : SessionResponse & ResponseTo<Output, Tool>
  generate(
    prompt: Prompt,
    options: BlockingOptions<SessionCallOptions> & { stream?: boolean } = {},
  ): SessionResponse | BlockingStream<SessionResponse> {
    refuseMessages(options)
    this.#throwIfClosed()
    const session = {
      made: this,
      key: this.#key,
      store: this.#store,
      options: { ...this.#options, id: this.id },
    }
    return generateBlocking<SessionResponse>({ llm: this.llm.backend, session }, prompt, options)
  }

  /**
   * Repeats the last turn after it was interrupted, was cancelled or failed. Its prompt is sent again, and the new reply
   * takes the place of the old one, which stays in the store.
   * @throws ConvokeError the errors of `agenerate`; `invalid_request` when the last turn is complete
   */
  resume(options: SessionCallOptions = {}): Promise<SessionResponse> {
    return this.#runTurn(undefined, options)
  }

  /** The messages of the conversation, oldest first. @throws ConvokeError the store's error */
  async history(options: ReadOptions = {}): Promise<StoredMessage[]> {
    await this.#open()
    return this.#store.readMessages(this.id, options)
  }

  /**
   * Appends messages of a conversation that took place elsewhere, as one turn. It waits for running turns.
   * @throws ConvokeError `invalid_request` for messages that are none, or the store's error
   */
  add(prompt: Prompt): Promise<StoredMessage[]> {
    return this.#betweenTurns(async () => {
      const before = await readRecent(this.#store, this.id)
      const messages = storablePrompt(prompt, before).map((content) => ({ ...content, id: messageId() }))
      return this.#store.addMessages(this.id, messages)
    })
  }

  /** Empties the history. Forks keep theirs. It waits for running turns. @throws ConvokeError the store's error */
  clear(): Promise<void> {
    return this.#betweenTurns(() => this.#store.clearSession(this.id))
  }

  /**
   * Makes a session that shares the history up to the message with the id `at` (by default the last), and copies
   * nothing. A fork at a summary begins with the summary, and has none of the messages that it replaced.
   * @throws ConvokeError the store's error, also for an `at` that is not in the history or an id that is taken
   */
  async fork(options: { at?: string; id?: string } = {}): Promise<Session> {
    const { system } = await this.#open()
    const { at, id = randomUUID() } = options
    await this.#store.forkSession(this.id, { id, ...(system === undefined ? {} : { system }) }, at)
    return new Session(this.llm, { ...this.#options, id, store: this.#store })
  }

  /**
   * Replaces all but the last turns by a summary that the session's LLM writes. The replaced messages stay in the store:
   * `history({ includeCompacted: true })` reads them. A history longer than the context window takes several calls, each of
   * which extends the summary of the one before. Without turns to summarise, nothing happens.
   *
   * @throws ConvokeError the errors of a call, and `invalid_output` when the model gives no complete summary. The session
   * is unchanged then.
   */
  compact({ keepRecent = 2, focus, signal }: CompactOptions = {}): Promise<void> {
    return this.#betweenTurns(async (ended) => {
      const messages = dropUnanswered(await this.#store.readMessages(this.id)).filter(isSettled)
      const starts = messages.flatMap((message, at) => (beginsTurn(message, messages[at - 1]) ? [at] : []))
      // A tool call that waits for its result must stay in the history.
      const recent = Math.max(keepRecent, openCalls(messages).size > 0 ? 1 : 0)
      const cut = recent === 0 ? messages.length : (starts.at(-recent) ?? 0)
      const { llm } = this
      const budget = await windowBudget(llm, this.#options.context ?? {})
      const compaction = { store: this.#store, sessionId: this.id, llm, focus, budget, signal: ended }
      await compact(messages.slice(0, cut), compaction)
    }, signal)
  }

  /** Estimates the tokens that the next turn sends besides its prompt, for the LLM's model. */
  async tokens(): Promise<number> {
    const { system } = await this.#open()
    const messages = dropUnanswered(await this.#store.readMessages(this.id))
    await countAhead(messages)
    return totalTokens(messages, system, this.llm.model)
  }

  /** Finds messages of this session that have all words of the query, newest first. `limit` is 20 by default. */
  async search(query: string, options: { limit?: number } = {}): Promise<SearchHit[]> {
    await this.#open()
    return this.#store.search(query, { ...options, sessionId: this.id })
  }

  /** Yields the session as JSON Lines, for a file or for `importSession`. */
  async *export(): AsyncGenerator<string, void, void> {
    const record = await this.#open()
    yield* yieldingToEventLoop(
      exportLines(record, await this.#store.readMessages(this.id, { includeCompacted: true })),
    )
  }

  /** Removes the session from the store, with the messages that no fork reads. Running turns are cancelled first. */
  async delete(): Promise<void> {
    await this.#cancelAll('the session was deleted')
    await this.#store.deleteSession(this.id)
    this.#opened = undefined
    discard(this)
  }

  /**
   * Cancels running turns, and closes the store if the session opened it (from a path). Forks of the session use the same
   * store. Further calls fail with `configuration`.
   */
  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    const reason = 'the session was closed'
    this.#closing.abort(new ConvokeError('cancelled', `The call was cancelled: ${reason}.`))
    await this.#cancelAll(reason)
    await Promise.allSettled(this.#workBetweenTurns)
    discard(this)
    if (typeof this.#options.store !== 'object') await this.#store.close()
    // The user's store stays open, and may accept now what it refused before. The callers were told `persisted: false`.
    else await writeUnwritten(this.#store).catch(() => {})
  }

  /** Cancels the turns of this session, and waits until their partial replies are written. */
  async #cancelAll(reason: string): Promise<void> {
    const turns = [...this.#turns]
    for (const turn of turns) turn.cancel(reason)
    await Promise.all(turns.map(({ over }) => over))
  }

  #open(): Promise<SessionRecord> {
    try {
      this.#throwIfClosed()
    } catch (error) {
      return Promise.reject(error as Error)
    }
    this.#opened ??= this.#openNow().catch((error: unknown) => {
      this.#opened = undefined
      throw error
    })
    return this.#opened
  }

  #throwIfClosed(): void {
    if (!this.#closed) return
    const message = 'This session was closed. Make another with createSession and the same id.'
    throw new ConvokeError('configuration', message)
  }

  async #openNow(): Promise<SessionRecord> {
    const { system, metadata } = this.#options
    const record = await this.#store.open({
      id: this.id,
      ...(system === undefined ? {} : { system }),
      ...(metadata === undefined ? {} : { metadata }),
    })
    if (system === undefined || record.system === system) return record
    return this.#store.updateSession(this.id, { system })
  }

  /** Runs work between the turns of this process. Turns with `turns: 'fork'` do not wait for it. */
  async #betweenTurns<T>(work: (ended: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#open()
    const ended = signal ? AbortSignal.any([this.#closing.signal, signal]) : this.#closing.signal
    const running = enterQueue(this.#store, this.id, ended).then((leave) => work(ended).finally(leave))
    this.#workBetweenTurns.add(running)
    try {
      return await running
    } catch (error) {
      if (isConvokeError(error) || !signal?.aborted) throw error
      throw abortedError(signal.reason, { cause: error })
    } finally {
      this.#workBetweenTurns.delete(running)
    }
  }

  #runTurn(prompt: Prompt | undefined, options: SessionCallOptions): Promise<SessionResponse> {
    try {
      return this.#createTurn(prompt, options).run()
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  #createTurn(prompt: Prompt | undefined, options: SessionCallOptions & { stream?: boolean }): Turn {
    const { operationId, stream: _stream, ...given } = options ?? {}
    refuseMessages(given)
    checkCallOptions(given)
    const { llm } = this
    const turn = new Turn({
      store: this.#store,
      llm,
      sessionId: this.id,
      turns: this.#options.turns ?? 'queue',
      prompt,
      operationId,
      options: given,
      open: () => this.#open(),
      fit: async (place, call, signal) =>
        fitContext(place, {
          store: this.#store,
          llm,
          context: this.#options.context ?? {},
          system: (await this.#open()).system,
          options: call,
          signal,
        }),
    })
    this.#turns.add(turn)
    const endCall = beginCall(this.#key)
    void turn.over.then(() => {
      this.#turns.delete(turn)
      endCall()
    })
    return turn
  }

  /** Tells this session apart from the others of this thread. */
  get #key(): string {
    return `${this.#store.name}\n${this.id}`
  }
}

function refuseMessages(options: object): void {
  if ((options as GenerateOptions | undefined)?.messages === undefined) return
  throw new ConvokeError(
    'invalid_request',
    'A session has its own messages. Use session.add() for messages of another conversation.',
  )
}

/** Whether the message is not of the last turn while another process runs that turn. */
function isSettled({ turn }: StoredMessage, _at: number, messages: StoredMessage[]): boolean {
  const last = messages.at(-1)
  return last?.status !== 'streaming' || turn !== last.turn
}

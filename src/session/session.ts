/** createSession: a conversation that is kept. */
import { randomUUID } from 'node:crypto'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError } from '../errors.ts'
import type { LLM } from '../llm.ts'
import { checkSessionOptions } from '../options.ts'
import { contextWindow } from '../prices.ts'
import { sqliteStore } from '../store/sqlite.ts'
import type {
  NewMessage,
  ReadOptions,
  SearchHit,
  SessionRecord,
  Store,
  StoredMessage,
} from '../store/store.ts'
import { ResponseStream } from '../stream.ts'
import type { GenerateOptions, Prompt } from '../types.ts'
import { summarise } from './compaction.ts'
import { exported, imported } from './export.ts'
import { answered, storable } from './history.ts'
import type { Said } from './history.ts'
import { Turn } from './turn.ts'
import type { Fitting, SessionResponse, TurnContext } from './turn.ts'
import { enter } from './turn-line.ts'
import { budgetOf, cutToFit, totalTokens } from './window.ts'
import type { ContextOptions } from './window.ts'

export interface SessionOptions {
  /**
   * Where the conversation is kept: the path of a SQLite file, which is made when there is none, or a store.
   * @default a private temporary file, removed when the process ends
   */
  store?: string | Store
  /** One that is in the store goes on; another begins. @default made at random */
  id?: string
  /** The system prompt. A session that is in the store keeps its own when none is given. */
  system?: string
  /** Keeps what is sent within the model's window. */
  context?: ContextOptions
  /**
   * Calls while another turn runs, in other processes too: wait in line, are refused with `session_busy`, or go on in a
   * fork. @default 'queue'
   */
  turns?: 'queue' | 'reject' | 'fork'
  /** Anything of the user's own, kept as JSON. */
  metadata?: Record<string, unknown>
}

/** Options of a call of a session: those of any call, but `messages`, which the session has. */
export type SessionCallOptions = Omit<GenerateOptions, 'messages'> & {
  /** The same id twice runs once: the second call gets the first one's reply. */
  operationId?: string
}

export interface CompactOptions {
  /** Turns at the end that stay as they are. @default 2 */
  keepRecent?: number
  /** What the summary must not lose, in words. */
  focus?: string
  signal?: AbortSignal
}

/**
 * A conversation with an LLM whose history is kept in a store. Synchronous and cheap: the store is opened at first use.
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
 * A session of the lines that `session.export()` gave, under a new id (or `options.id`): text, or its pieces.
 *
 * @example
 * const session = await importSession(llm, createReadStream('alice.jsonl', 'utf8'), { store: 'chat.db' })
 *
 * @throws ConvokeError `invalid_request` for lines that are no such export, or one of a newer format; nothing is kept
 */
export async function importSession(
  llm: LLM,
  lines: string | Iterable<string> | AsyncIterable<string>,
  options: SessionOptions = {},
): Promise<Session> {
  const { session: found, messages } = await imported(lines)
  const { system, metadata } = { ...found, ...options }
  const session = new Session(llm, {
    ...options,
    id: options.id ?? found.id,
    ...(system === undefined ? {} : { system }),
    ...(metadata === undefined ? {} : { metadata }),
  })
  await session.store.open({ id: session.id, ...(system === undefined ? {} : { system }) })
  if (messages.length > 0) await session.store.addMessages(session.id, messages)
  return session
}

export class Session implements AsyncDisposable {
  readonly id: string
  /** Whom the next turn asks; it may be another vendor's. */
  llm: LLM
  readonly #options: SessionOptions
  readonly #store: Store
  readonly #turns = new Set<Turn>()
  #opened: Promise<SessionRecord> | undefined
  /** The branch as the last turn of this process left it. */
  #known: { headId: string | undefined; said: Said[] } | undefined
  #isClosed = false

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

  /** The store that keeps it. */
  get store(): Store {
    return this.#store
  }

  /**
   * One turn: the prompt and the reply are kept. A reply that could not be written is delivered all the same, with
   * `persisted: false`.
   *
   * @throws ConvokeError as any call; `session_busy` with `turns: 'reject'`; the store's error, when not even the prompt
   * could be written: then nothing was sent
   */
  agenerate<Output>(
    prompt: Prompt,
    options: SessionCallOptions & { schema: StandardSchemaV1<unknown, Output>; stream?: false },
  ): Promise<SessionResponse<Output>>
  agenerate(prompt: Prompt, options: SessionCallOptions & { stream: true }): ResponseStream
  agenerate(prompt: Prompt, options?: SessionCallOptions & { stream?: false }): Promise<SessionResponse>
  agenerate(
    prompt: Prompt,
    options: SessionCallOptions & { stream?: boolean } = {},
  ): Promise<SessionResponse> | ResponseStream {
    if (options.stream) return this.stream(prompt, options)
    return this.#run(prompt, options)
  }

  /** One turn, as it comes. Its `finish` chunk, and its `response`, come when it is on disk. */
  stream(prompt: Prompt, options: SessionCallOptions & { stream?: boolean } = {}): ResponseStream {
    const turn = this.#turn(prompt, options)
    return new ResponseStream(turn, options.streamConfig?.bufferSize ?? 100)
  }

  /**
   * Repeats the last turn, when it was interrupted, cancelled or has failed: its prompt is sent again, and the new reply
   * takes the place of the old one, which stays in the store.
   * @throws ConvokeError `invalid_request` when the last turn is whole
   */
  async resume(options: SessionCallOptions = {}): Promise<SessionResponse> {
    const last = (await this.history({ limit: 1 })).at(-1)
    const isBroken =
      last?.role === 'assistant' && ['interrupted', 'cancelled', 'failed'].includes(last.status)
    if (!isBroken) {
      throw new ConvokeError(
        'invalid_request',
        'There is nothing to resume: the last turn of this session is whole.',
      )
    }
    return this.#run(undefined, options, last.id)
  }

  /** The messages of the branch, oldest first. */
  async history(options: ReadOptions = {}): Promise<StoredMessage[]> {
    await this.#open()
    return this.#store.readMessages(this.id, options)
  }

  /** Messages that were said elsewhere, kept as one turn. It waits for the turns that run. */
  add(prompt: Prompt): Promise<StoredMessage[]> {
    return this.#inLine(async () => {
      const history = await this.#store.readMessages(this.id)
      const messages = storable(prompt, answered(history)).map((content) => ({
        ...content,
        id: randomUUID(),
      }))
      return this.#store.addMessages(this.id, messages)
    })
  }

  /** Forgets what was said; forks keep it. It waits for the turns that run. */
  clear(): Promise<void> {
    return this.#inLine(() => this.#store.clearSession(this.id))
  }

  /** A session that shares the history up to `at`, the id of a message (@default the last), and copies nothing. */
  async fork(options: { at?: string; id?: string } = {}): Promise<Session> {
    const { system } = await this.#open()
    const { at, id = randomUUID() } = options
    await this.#store.forkSession(this.id, { id, ...(system === undefined ? {} : { system }) }, at)
    return new Session(this.llm, { ...this.#options, id, store: this.#store })
  }

  /**
   * Lets a summary, written by the session's LLM, stand for all but the last turns. What it replaces stays in the store:
   * `history({ isWhole: true })`. Nothing happens where there is nothing to summarise.
   */
  compact({ keepRecent = 2, focus, signal }: CompactOptions = {}): Promise<void> {
    return this.#inLine(async () => {
      const messages = answered(await this.#store.readMessages(this.id)).filter(isSettled)
      const starts = messages.flatMap(({ role }, at) => (role === 'user' ? [at] : []))
      const cut = keepRecent === 0 ? messages.length : (starts.at(-keepRecent) ?? 0)
      await this.#compact(messages.slice(0, cut), focus, signal)
    })
  }

  /** Tokens of what the next turn would send beside its prompt, estimated. */
  async tokens(): Promise<number> {
    const { system } = await this.#open()
    return totalTokens(answered(await this.#store.readMessages(this.id)), system)
  }

  /** Messages of this session that have the words of the query. */
  async search(query: string, options: { limit?: number } = {}): Promise<SearchHit[]> {
    await this.#open()
    return this.#store.search(query, { ...options, sessionId: this.id })
  }

  /** The session as JSON Lines, to be written to a file or read by `importSession`. */
  async *export(): AsyncGenerator<string, void, void> {
    const record = await this.#open()
    yield* exported(record, await this.#store.readMessages(this.id, { isWhole: true }))
  }

  /** Removes it from the store, with its messages, but for those that a fork has. */
  async delete(): Promise<void> {
    await this.#cancelAll('the session was deleted')
    await this.#store.deleteSession(this.id)
    this.#opened = undefined
    this.#known = undefined
  }

  /** Cancels what runs, and closes a store that the session itself has opened. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#cancelAll('the session was closed')
    if (typeof this.#options.store !== 'object') await this.#store.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Cancels the turns of this session, and waits until what had come of them is written. */
  async #cancelAll(reason: string): Promise<void> {
    const turns = [...this.#turns]
    for (const turn of turns) turn.cancel(reason)
    await Promise.all(turns.map(({ over }) => over))
  }

  #open(): Promise<SessionRecord> {
    if (this.#isClosed) {
      const message = 'This session was closed. Make another with createSession and the same id.'
      return Promise.reject(new ConvokeError('configuration', message))
    }
    this.#opened ??= this.#openNow().catch((error: unknown) => {
      this.#opened = undefined
      throw error
    })
    return this.#opened
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

  /** Between the turns of this process, after which the branch is another. */
  async #inLine<T>(change: () => Promise<T>): Promise<T> {
    await this.#open()
    const leave = await enter(this.#store, this.id, new AbortController().signal)
    try {
      this.#known = undefined
      return await change()
    } finally {
      leave()
    }
  }

  #run(prompt: Prompt | undefined, options: SessionCallOptions, repeats?: string): Promise<SessionResponse> {
    try {
      return this.#turn(prompt, options, repeats).run()
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  #turn(
    prompt: Prompt | undefined,
    { operationId, ...options }: SessionCallOptions & { stream?: boolean },
    repeats?: string,
  ): Turn {
    if ('messages' in options) {
      throw new ConvokeError(
        'invalid_request',
        'A session has its own messages. Use session.add() for what was said elsewhere.',
      )
    }
    const { stream: _stream, ...given } = options
    const context: TurnContext = {
      store: this.#store,
      llm: this.llm,
      sessionId: this.id,
      turns: this.#options.turns ?? 'queue',
      prompt,
      repeats,
      operationId,
      options: given,
      open: () => this.#open(),
      history: (sessionId, upTo, own) => this.#said(sessionId, upTo, own),
      fit: (history, call, signal) => this.#fit(history, call, signal),
      onEnd: (sessionId, said) => {
        if (sessionId === this.id) this.#known = said && { headId: said.at(-1)?.id, said }
      },
    }
    const turn = new Turn(context)
    this.#turns.add(turn)
    void turn.over.then(() => this.#turns.delete(turn))
    return turn
  }

  async #said(...[sessionId, upTo, own]: Parameters<TurnContext['history']>): Promise<Said[]> {
    const known = sessionId === this.id ? this.#known : undefined
    if (known && (upTo === 'known' || (upTo !== 'newest' && upTo.headId === known.headId))) return known.said
    const messages = await this.#store.readMessages(sessionId)
    return answered(messages.filter(({ id }) => !own.has(id)))
  }

  async #fit(history: Said[], options: GenerateOptions, signal: AbortSignal): Promise<Fitting> {
    const { context = {} } = this.#options
    const system = options.system ?? (await this.#open()).system
    const withSystem = system === undefined ? {} : { system }
    const model = options.model ?? this.llm.model
    const window = model === undefined ? undefined : await contextWindow(this.llm.provider, model)
    const budget = budgetOf(context, window, options.maxTokens)
    const tokens = totalTokens(history, system)
    if (tokens <= budget) return { history, ...withSystem }
    if (context.onOverflow === 'error') {
      throw new ConvokeError(
        'context_length_exceeded',
        `The session takes about ${tokens} tokens, and ${Math.floor(budget)} are left for it. Compact it, or set context.onOverflow.`,
      )
    }
    const summaries = history.filter(({ role }) => role === 'summary')
    const rest = history.filter(({ role }) => role !== 'summary')
    const fixed = totalTokens(summaries, system)
    if (context.onOverflow !== 'compact') {
      return { history: [...summaries, ...rest.slice(cutToFit(rest, budget - fixed))], ...withSystem }
    }
    // Half of the budget: a compaction for every turn would cost more than it saves.
    const cut = cutToFit(rest, (budget - fixed) / 2)
    const summary = await this.#compact([...summaries, ...rest.slice(0, cut)], undefined, signal)
    return { history: [...(summary ? [summary] : []), ...rest.slice(cut)], isCompacted: true, ...withSystem }
  }

  async #compact(
    messages: readonly Said[],
    focus: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<NewMessage | undefined> {
    const last = messages.findLast(({ role }) => role !== 'summary')
    if (!last) return undefined
    const reply = await summarise(this.llm, messages, focus, signal)
    const summary: NewMessage = {
      id: randomUUID(),
      role: 'summary',
      content: [{ type: 'text', text: reply.content }],
    }
    const { provider, model, usage, costUsd, timing } = reply
    const fields = { provider, model, usage, timing, ...(costUsd === undefined ? {} : { costUsd }) }
    await this.#store.compact(this.id, { ...summary, ...fields }, last.id)
    this.#known = undefined
    return summary
  }
}

/** Not of a turn that another process is at. */
function isSettled({ turn }: StoredMessage, _at: number, messages: StoredMessage[]): boolean {
  const last = messages.at(-1)
  return last?.status !== 'streaming' || turn !== last.turn
}

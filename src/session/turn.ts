/**
 * One turn of a session: its place in line, what is written before the vendor is called, the call, and what is written
 * behind it. A reply is acknowledged (its finish chunk, its promise) when it is on disk, or when the store has failed.
 */
import { randomUUID } from 'node:crypto'
import { ConvokeError, isConvokeError } from '../errors.ts'
import type { LLM } from '../llm.ts'
import type { Store, StoredContent, StoredMessage, TurnAnswer, TurnEnd } from '../store/store.ts'
import type { StreamSink, StreamSource } from '../stream.ts'
import type { GenerateOptions, GenerateResponse, Message, Prompt, StreamChunk } from '../types.ts'
import { sendable, storable, summaryOf } from './history.ts'
import type { Said } from './history.ts'
import { asStoreError, Recorder } from './recorder.ts'
import { responseOf, unanswered } from './stored-reply.ts'
import { enter, isTaken } from './turn-line.ts'

/** A reply of a session, and where it is kept. */
export type SessionResponse<Output = unknown> = GenerateResponse<Output> & {
  /** The session that has it: a fork's, where `turns: 'fork'` made one. */
  sessionId: string
  /** Its id in the store. */
  messageId: string
  /** Whether it is on disk. False where the store failed meanwhile: `storeError` says how. */
  persisted: boolean
  storeError?: ConvokeError
}

/** What of a history is sent. */
export interface Fitting {
  history: Said[]
  system?: string
  /** The store has a summary now that the history did not have. */
  isCompacted?: boolean
}

/** What a session gives its turns. */
export interface TurnContext {
  store: Store
  llm: LLM
  sessionId: string
  turns: 'queue' | 'reject' | 'fork'
  /** Nothing for the turn of `resume`, which repeats that of a reply. */
  prompt: Prompt | undefined
  repeats: string | undefined
  operationId: string | undefined
  options: GenerateOptions
  /** Opens the session, where that was not done. */
  open(): Promise<unknown>
  /** The messages of the branch, as far as they are known, as they stand now, or up to a head, but for `own`. */
  history(
    sessionId: string,
    upTo: 'known' | 'newest' | { headId: string | undefined },
    own: ReadonlySet<string>,
  ): Promise<Said[]>
  /** The part of a history that fits the model's window, and its system prompt. */
  fit(history: Said[], options: GenerateOptions, signal: AbortSignal): Promise<Fitting>
  /** The turn is over: what the branch has now, as far as it is known. */
  onEnd(sessionId: string, said: Said[] | undefined): void
}

const none: ReadonlySet<string> = new Set()

/** Between two looks at a turn of another process. */
const firstWaitMs = 20
const longestWaitMs = 250
/** A turn whose writer has given no sign for so long is taken to be dead. Four beats of the recorder. */
const silenceMs = 20_000

export class Turn implements StreamSource {
  readonly #context: TurnContext
  readonly #controller = new AbortController()
  readonly #replyId: string = randomUUID()
  #sessionId: string
  #source: StreamSource | undefined
  #last: GenerateResponse
  /** Settles when the turn is over, however it ended. */
  readonly over: Promise<void>
  #end: () => void = () => {}

  constructor(context: TurnContext) {
    this.#context = context
    this.over = new Promise((resolve) => {
      this.#end = resolve
    })
    this.#sessionId = context.sessionId
    this.#last = unanswered(context.llm, context.options.model)
  }

  cancel(reason?: unknown): void {
    const why = reason instanceof Error ? reason.message : typeof reason === 'string' ? reason : ''
    const error = new ConvokeError('cancelled', `The call was cancelled${why ? `: ${why}` : ''}.`, {
      cause: reason,
      partial: this.partial(),
    })
    this.#controller.abort(error)
    this.#source?.cancel(reason)
  }

  partial(): GenerateResponse {
    return this.#source?.partial() ?? this.#last
  }

  async run(sink?: StreamSink): Promise<SessionResponse> {
    const { signal: userSignal } = this.#context.options
    const onAbort = () => this.cancel(userSignal?.reason)
    if (userSignal?.aborted) onAbort()
    userSignal?.addEventListener('abort', onAbort, { once: true })
    let leave = () => {}
    try {
      this.#controller.signal.throwIfAborted()
      await this.#context.open()
      leave = await this.#enter()
      return await this.#take(sink)
    } finally {
      leave()
      userSignal?.removeEventListener('abort', onAbort)
      this.#end()
    }
  }

  /** This process's own line. A turn that is to be forked waits for nobody. */
  async #enter(): Promise<() => void> {
    const { store, sessionId, turns } = this.#context
    if (turns === 'fork') return () => {}
    if (turns === 'reject' && isTaken(store, sessionId)) throw busy(sessionId)
    return enter(store, sessionId, this.#controller.signal)
  }

  async #take(sink: StreamSink | undefined): Promise<SessionResponse> {
    const { history: read } = this.#context
    const messages = await this.#messages()
    const begun = await this.#begin(messages)
    if (begun.kind === 'done') return this.#again(begun.reply, sink)
    const own = new Set([this.#replyId, ...messages.map(({ id }) => id)])
    try {
      const history = await read(this.#sessionId, { headId: begun.parentId }, own)
      return await this.#answer([...history, ...messages], sink)
    } catch (error) {
      await this.#fail(error)
      throw error
    }
  }

  /** The prompt as messages. What is known of the branch may be old: another process may have asked for tools. */
  async #messages(): Promise<(StoredContent & { id: string })[]> {
    const { prompt, history } = this.#context
    if (prompt === undefined) return []
    try {
      return storable(prompt, await history(this.#sessionId, 'known', none)).map(withId)
    } catch {
      return storable(prompt, await history(this.#sessionId, 'newest', none)).map(withId)
    }
  }

  /** Commits the turn's messages and an empty reply, when no other turn of the session runs. */
  async #begin(messages: (StoredContent & { id: string })[]): Promise<Exclude<TurnAnswer, { kind: 'busy' }>> {
    const { store, turns, operationId, repeats } = this.#context
    let seen: { replyId: string; beat: number; sinceMs: number } | undefined
    for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 1.5, longestWaitMs)) {
      const answer = await store.beginTurn({
        sessionId: this.#sessionId,
        replyId: this.#replyId,
        messages,
        writer: store.writer,
        ...(operationId === undefined ? {} : { operationId }),
        ...(repeats === undefined ? {} : { repeats }),
      })
      if (answer.kind !== 'busy') return answer
      if (turns === 'reject') throw busy(this.#sessionId)
      if (turns === 'fork') {
        await this.#fork(answer.replyId)
        continue
      }
      const { replyId, beat } = answer
      if (seen?.replyId !== replyId || seen.beat !== beat)
        seen = { replyId, beat, sinceMs: performance.now() }
      else if (performance.now() - seen.sinceMs > silenceMs) await store.interruptTurn(replyId, beat)
      await this.#wait(waitMs)
    }
  }

  /** Goes on in a fork of the session, from before the turn that runs there. */
  async #fork(runningReplyId: string): Promise<void> {
    const { store, sessionId } = this.#context
    const messages = await store.readMessages(sessionId)
    const running = messages.find(({ id }) => id === runningReplyId)
    const base = running ? messages.findLast(({ turn }) => turn < running.turn) : messages.at(-1)
    const id = randomUUID()
    const record = await store.find(sessionId)
    const system = record?.system === undefined ? {} : { system: record.system }
    if (base) await store.forkSession(sessionId, { id, ...system }, base.id)
    else await store.open({ id, ...system })
    this.#sessionId = id
  }

  async #answer(said: Said[], sink: StreamSink | undefined): Promise<SessionResponse> {
    const { store, llm, options, fit } = this.#context
    const signal = this.#controller.signal
    const fitting = await fit(said, options, signal)
    const summary = summaryOf(fitting.history)
    const system = [fitting.system, summary].filter((text) => text).join('\n\n')
    const prompt: Message[] = sendable(fitting.history, llm.provider)
    const { signal: _signal, ...given } = options
    const call = { ...given, ...(system ? { system } : {}) }
    signal.throwIfAborted()
    const recorder = new Recorder(store, this.#replyId)
    let finish: StreamChunk | undefined
    try {
      let response: GenerateResponse
      if (sink) {
        this.#source = llm.source(prompt, call)
        response = await this.#source.run({
          push: (chunk) => {
            if (chunk.type === 'finish') {
              finish = chunk
              return undefined
            }
            recorder.add(chunk)
            return sink.push(chunk)
          },
        })
      } else response = await llm.agenerate(prompt, { ...call, signal, stream: false })
      const storeError = await this.#write(recorder, { ...endOf(response), status: 'complete' })
      const now = fitting.isCompacted ? undefined : [...said, asSaid(this.#replyId, response)]
      this.#context.onEnd(this.#sessionId, now)
      if (finish) void sink?.push(finish)
      return this.#response(response, storeError)
    } finally {
      await recorder.end()
    }
  }

  /** Writes the end of the reply. A store that fails costs its keeping, never the reply. */
  async #write(recorder: Recorder | undefined, end: TurnEnd): Promise<ConvokeError | undefined> {
    const { store } = this.#context
    await recorder?.end()
    try {
      await store.endTurn(this.#replyId, end)
      return undefined
    } catch (error) {
      return asStoreError(error, store.name)
    }
  }

  async #fail(error: unknown): Promise<void> {
    const known = isConvokeError(error) ? error : undefined
    const { code = 'store_failed', message = String(error), partial = this.#last } = known ?? {}
    const status = code === 'cancelled' ? 'cancelled' : 'failed'
    await this.#write(undefined, { ...endOf(partial), status, error: { code, message } })
  }

  /** The operation was done before: its reply once more. */
  #again(reply: StoredMessage, sink: StreamSink | undefined): SessionResponse {
    const response = responseOf(reply)
    if (response.content) void sink?.push({ type: 'text', content: response.content })
    const { finishReason, usage, raw } = response
    void sink?.push({ type: 'finish', content: '', finishReason, usage, raw })
    return { ...response, sessionId: reply.sessionId, messageId: reply.id, persisted: true }
  }

  #response(response: GenerateResponse, storeError: ConvokeError | undefined): SessionResponse {
    return Object.assign(response, {
      sessionId: this.#sessionId,
      messageId: this.#replyId,
      persisted: storeError === undefined,
      ...(storeError ? { storeError } : {}),
    })
  }

  #wait(delayMs: number): Promise<void> {
    const { signal } = this.#controller
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal.reason as Error)
      }
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }, delayMs)
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
    })
  }
}

function withId<Content extends StoredContent>(content: Content): Content & { id: string } {
  return { ...content, id: randomUUID() }
}

function busy(sessionId: string): ConvokeError {
  const message = `A turn of the session ${JSON.stringify(sessionId)} is running. Wait for it, or use turns: 'queue' or 'fork'.`
  return new ConvokeError('session_busy', message)
}

function asSaid(id: string, { message, provider }: GenerateResponse): Said {
  return { id, role: 'assistant', content: message.content, status: 'complete', provider }
}

/** What is kept of a reply. */
function endOf(response: GenerateResponse): Omit<TurnEnd, 'status'> {
  const { provider, model, id, finishReason, rawFinishReason, refusal, usage, costUsd, timing, warnings } =
    response
  return {
    content: response.message.content,
    provider,
    model,
    finishReason,
    usage,
    timing,
    warnings,
    ...(id ? { responseId: id } : {}),
    ...(rawFinishReason === undefined ? {} : { rawFinishReason }),
    ...(refusal === undefined ? {} : { refusal }),
    ...(costUsd === undefined ? {} : { costUsd }),
  }
}

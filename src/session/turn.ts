/**
 * One turn of a session: its place in line, what is written before the vendor is called, the call, and what is written
 * behind it. A reply is acknowledged (its finish chunk, its promise) when it is on disk, or when the store has failed.
 */
import { randomUUID } from 'node:crypto'
import { ConvokeError, abortedError, finishReasonOfError, isConvokeError } from '../errors.ts'
import { onAbort } from '../policies/cancellation.ts'
import { sleep } from '../policies/sleep.ts'
import type { PendingCall } from '../llm/backend.ts'
import type { LLM } from '../llm/llm.ts'
import { outputOf } from '../request/structured-output.ts'
import { chunksOf } from '../response/replay.ts'
import { keepUnwritten, writeUnwritten } from '../store/unwritten-ends.ts'
import { messageId } from '../store/message-id.ts'
import type { NewMessage, Store, StoredContent, StoredMessage, TurnAnswer, TurnEnd } from '../store/store.ts'
import type { StreamSink, StreamSource } from '../response/response-stream.ts'
import type { GenerateResponse, Prompt, StreamChunk } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import { interruptIfSilent } from './interrupt-if-silent.ts'
import type { FittedContext, TurnPosition } from './fit-context.ts'
import { summaryOf } from './history.ts'
import { sendableHistory } from './sendable-history.ts'
import { checkToolResults, storablePrompt } from './storable-prompt.ts'
import { asStoreError, Recorder } from './recorder.ts'
import { responseBeforeCall, storedResponse } from './stored-response.ts'
import { lastMessageBefore, readRecent } from './read-tail.ts'
import { enterQueue, hasTurn } from './turn-queue.ts'

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

/** What a session gives its turns. */
export interface TurnContext {
  store: Store
  llm: LLM
  sessionId: string
  turns: 'queue' | 'reject' | 'fork'
  /** Nothing for the turn of `resume`, which repeats the last one. */
  prompt: Prompt | undefined
  operationId: string | undefined
  options: GenerateOptions
  /** Opens the session, where that was not done. */
  open(): Promise<unknown>
  /** What is sent, and the system prompt. */
  fit(place: TurnPosition, options: GenerateOptions, signal: AbortSignal): Promise<FittedContext>
}

/** Between two looks at a turn that runs elsewhere. */
const firstWaitMs = 20
const longestWaitMs = 250
/** The last turn may end, or be repeated by another, while it is looked at. */
const maxResumeTries = 10

type Begun = Extract<TurnAnswer, { kind: 'begun' | 'done' }>

export class Turn implements StreamSource {
  readonly #context: TurnContext
  readonly #controller = new AbortController()
  readonly #replyId: string = messageId()
  #sessionId: string
  #source: PendingCall | undefined
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
    this.#last = responseBeforeCall(context.llm, context.options.model)
  }

  cancel(reason?: unknown): void {
    const { provider } = this.#context.llm
    const error = abortedError(reason, { provider })
    const partial = { ...this.partial(), finishReason: finishReasonOfError(error) }
    this.#controller.abort(error.amend({ partial }))
    this.#source?.cancel(reason)
  }

  partial(): GenerateResponse {
    return this.#source?.partial() ?? this.#last
  }

  async run(sink?: StreamSink): Promise<SessionResponse> {
    const { signal: userSignal } = this.#context.options
    const stopListening = onAbort(userSignal, (reason) => this.cancel(reason))
    let leave = () => {}
    try {
      this.#controller.signal.throwIfAborted()
      await this.#context.open()
      leave = await this.#enter()
      return await this.#take(sink)
    } finally {
      leave()
      stopListening()
      this.#end()
    }
  }

  /** This process's own line. A turn that is to be forked waits for nobody. */
  async #enter(): Promise<() => void> {
    const { store, sessionId, turns } = this.#context
    if (turns === 'fork') return () => {}
    if (turns === 'reject' && hasTurn(store, sessionId)) throw busy(sessionId)
    return enterQueue(store, sessionId, this.#controller.signal)
  }

  async #take(sink: StreamSink | undefined): Promise<SessionResponse> {
    const { store, prompt, operationId } = this.#context
    // Asked before the prompt is looked at: results of tools that were answered then answer nothing now.
    const done =
      operationId === undefined ? undefined : await store.findOperation(this.#sessionId, operationId)
    if (done) return this.#again(done, sink)
    // Only results of tools need a history to be looked at with.
    const before = prompt !== undefined && hasResults(prompt) ? await readRecent(store, this.#sessionId) : []
    const messages = prompt === undefined ? [] : storablePrompt(prompt, before).map(withId)
    const begun = prompt === undefined ? await this.#resume() : await this.#begin(messages)
    if (begun.kind === 'done') return this.#again(begun.reply, sink)
    // From here on the turn is this one's: others see it beat, also while a summary is made.
    const recorder = new Recorder(store, this.#replyId, () => this.#source?.provider ?? '')
    try {
      // Once more: another process may have answered the same tool call meanwhile.
      const place = { sessionId: this.#sessionId, turn: begun.turn, replyId: this.#replyId }
      if (prompt !== undefined && hasResults(prompt)) {
        checkToolResults(messages, await readRecent(store, this.#sessionId, place))
      }
      return await this.#answer(place, recorder, sink)
    } catch (error) {
      await recorder.end()
      await this.#fail(error)
      throw error
    }
  }

  /** Begins the last turn once more. @throws ConvokeError `invalid_request` when it is whole */
  async #resume(): Promise<Begun> {
    const { store } = this.#context
    for (let tries = 0; tries < maxResumeTries; tries++) {
      const [last] = await store.readMessages(this.#sessionId, { limit: 1 })
      if (last?.role !== 'assistant' || last.status === 'complete') break
      const answer = await this.#begin([], last.id)
      if (answer.kind !== 'stale') return answer
    }
    throw new ConvokeError(
      'invalid_request',
      'There is nothing to resume: the last turn of this session is whole.',
    )
  }

  /** Commits the turn's messages and an empty reply, when no other turn of the session runs. */
  async #begin(messages: NewMessage[]): Promise<Begun>
  async #begin(messages: NewMessage[], repeats: string): Promise<Exclude<TurnAnswer, { kind: 'busy' }>>
  async #begin(messages: NewMessage[], repeats?: string): Promise<Exclude<TurnAnswer, { kind: 'busy' }>> {
    const { store, turns, operationId } = this.#context
    for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 1.5, longestWaitMs)) {
      await writeUnwritten(store, this.#sessionId)
      const answer = await store.beginTurn({
        sessionId: this.#sessionId,
        replyId: this.#replyId,
        messages,
        writer: store.writer,
        ...(operationId === undefined ? {} : { operationId }),
        ...(repeats === undefined ? {} : { repeats }),
      })
      if (answer.kind !== 'busy') return answer
      if (await interruptIfSilent(store, answer)) continue
      // The same operation is waited for, whatever becomes of others.
      const isSame = operationId !== undefined && answer.operationId === operationId
      if (turns === 'reject' && !isSame) throw busy(this.#sessionId)
      if (turns === 'fork' && !isSame && repeats === undefined) await this.#fork(answer.replyId)
      else await sleep(waitMs, this.#controller.signal)
    }
  }

  /** Goes on in a fork of the session, from before the turn that runs there. */
  async #fork(runningReplyId: string): Promise<void> {
    const { store, sessionId } = this.#context
    const base = await lastMessageBefore(store, sessionId, runningReplyId)
    const id = randomUUID()
    const record = await store.find(sessionId)
    const system = record?.system === undefined ? {} : { system: record.system }
    if (base) await store.forkSession(sessionId, { id, ...system }, base.id)
    else await store.open({ id, ...system })
    this.#sessionId = id
  }

  async #answer(
    place: TurnPosition,
    recorder: Recorder,
    sink: StreamSink | undefined,
  ): Promise<SessionResponse> {
    const { llm, options, fit } = this.#context
    const signal = this.#controller.signal
    const { history, system: given } = await fit(place, options, signal)
    const system = [given, summaryOf(history)].filter((text) => text).join('\n\n')
    const prompt = (provider: string) => sendableHistory(history, provider)
    const { signal: _signal, ...rest } = options
    const call = { ...rest, ...(system ? { system } : {}) }
    signal.throwIfAborted()
    let finish: StreamChunk | undefined
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
    } else response = await llm.source(prompt, { ...call, signal }).generate()
    await recorder.end()
    const storeError = await this.#write({ ...endOf(response), status: 'complete' })
    if (finish) void sink?.push(finish)
    return this.#response(response, storeError)
  }

  /** Writes the end of the reply. A store that fails costs its keeping, never the reply. */
  async #write(end: TurnEnd): Promise<ConvokeError | undefined> {
    const { store } = this.#context
    try {
      await store.endTurn(this.#replyId, end)
      return undefined
    } catch (error) {
      keepUnwritten(store, { sessionId: this.#sessionId, replyId: this.#replyId, end })
      return asStoreError(error, store.name)
    }
  }

  async #fail(error: unknown): Promise<void> {
    const known = isConvokeError(error) ? error : undefined
    const { code = 'store_failed', message = String(error), partial = this.partial() } = known ?? {}
    const status = code === 'cancelled' ? 'cancelled' : 'failed'
    await this.#write({ ...endOf(partial), status, error: { code, message } })
  }

  /** The operation was done before: its reply once more. */
  async #again(reply: StoredMessage, sink: StreamSink | undefined): Promise<SessionResponse> {
    const response = storedResponse(reply)
    const { schema } = this.#context.options
    if (schema && response.toolCalls.length === 0) response.output = await outputOf(response, schema)
    for (const chunk of chunksOf(response)) void sink?.push(chunk)
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
}

function withId<Content extends StoredContent>(content: Content): Content & { id: string } {
  return { ...content, id: messageId() }
}

function busy(sessionId: string): ConvokeError {
  const message = `A turn of the session ${JSON.stringify(sessionId)} is running. Wait for it, or use turns: 'queue' or 'fork'.`
  return new ConvokeError('session_busy', message)
}

function hasResults(prompt: Prompt): boolean {
  return typeof prompt !== 'string' && [prompt].flat().some((message) => message?.role === 'tool')
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

/**
 * One turn of a session: it waits in a queue, stores the prompt, calls the LLM, and stores the reply. The reply is
 * acknowledged (by its finish chunk, or its promise) when it is on disk or when the store has failed.
 */
import { randomUUID } from 'node:crypto'
import { ConvokeError, abortedError, finishReasonOfError, isConvokeError } from '../errors.ts'
import { onAbort } from '../policies/cancellation.ts'
import { sleep } from '../policies/sleep.ts'
import type { PendingCall } from '../llm/backend.ts'
import type { LLM } from '../llm/llm.ts'
import { outputOf } from '../request/structured-output.ts'
import { NormalizedPrompt } from '../request/normalize-prompt.ts'
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

/** A reply of a session, and its place in the store. */
export type SessionResponse<Output = unknown> = GenerateResponse<Output> & {
  /** The session of the reply. With `turns: 'fork'` it may be a new one. */
  sessionId: string
  /** The reply's id in the store. */
  messageId: string
  /** Whether the reply is on disk. It is false when the store failed; `storeError` has the cause then. */
  persisted: boolean
  storeError?: ConvokeError
}

/** The facts of a session that each of its turns needs. */
export interface TurnContext {
  store: Store
  llm: LLM
  sessionId: string
  turns: 'queue' | 'reject' | 'fork'
  /** Undefined for `resume`, which repeats the last turn. */
  prompt: Prompt | undefined
  operationId: string | undefined
  options: GenerateOptions
  /** Opens the session, unless it is open. */
  open(): Promise<unknown>
  /** Chooses the messages to send, and the system prompt. */
  fit(position: TurnPosition, options: GenerateOptions, signal: AbortSignal): Promise<FittedContext>
}

/** Milliseconds between two looks at a turn that runs in another process. They grow from the first to the longest. */
const firstWaitMs = 20
const longestWaitMs = 250
/** How often `resume` looks at the last turn, which may end, or be repeated by another process, meanwhile. */
const maxResumeTries = 10

type BegunTurn = Extract<TurnAnswer, { kind: 'begun' | 'done' }>

export class Turn implements StreamSource {
  readonly #context: TurnContext
  readonly #controller = new AbortController()
  readonly #replyId: string = messageId()
  #sessionId: string
  /** The call of a stream. Other calls are cancelled by the signal. */
  #call: PendingCall | undefined
  readonly #responseBeforeCall: GenerateResponse
  /** Resolves when the turn is over, with a reply or an error. */
  readonly over: Promise<void>
  #settleOver: () => void = () => {}

  constructor(context: TurnContext) {
    this.#context = context
    this.over = new Promise((resolve) => {
      this.#settleOver = resolve
    })
    this.#sessionId = context.sessionId
    this.#responseBeforeCall = responseBeforeCall(context.llm, context.options.model)
  }

  cancel(reason?: unknown): void {
    const { provider } = this.#context.llm
    const error = abortedError(reason, { provider })
    const partial = { ...this.partial(), finishReason: finishReasonOfError(error) }
    this.#controller.abort(error.amend({ partial }))
    this.#call?.cancel(reason)
  }

  partial(): GenerateResponse {
    return this.#call?.partial() ?? this.#responseBeforeCall
  }

  async run(sink?: StreamSink): Promise<SessionResponse> {
    const { signal: userSignal } = this.#context.options
    const stopListening = onAbort(userSignal, (reason) => this.cancel(reason))
    let leaveQueue = () => {}
    try {
      this.#controller.signal.throwIfAborted()
      await this.#context.open()
      leaveQueue = await this.#joinQueue()
      return await this.#runAfterQueue(sink)
    } finally {
      leaveQueue()
      stopListening()
      this.#settleOver()
    }
  }

  /** Waits in this process's queue of the session. A turn that may fork does not wait. */
  async #joinQueue(): Promise<() => void> {
    const { store, sessionId, turns } = this.#context
    if (turns === 'fork') return () => {}
    if (turns === 'reject' && hasTurn(store, sessionId)) throw busyError(sessionId)
    return enterQueue(store, sessionId, this.#controller.signal)
  }

  async #runAfterQueue(sink: StreamSink | undefined): Promise<SessionResponse> {
    const { store, prompt, operationId } = this.#context
    // This comes before the prompt is checked. After the operation its tool results no longer answer an open tool call.
    const done =
      operationId === undefined ? undefined : await store.findOperation(this.#sessionId, operationId)
    if (done) return this.#replay(done, sink)
    const messages = prompt === undefined ? [] : await this.#storableMessages(prompt)
    const begun = prompt === undefined ? await this.#beginAgain() : await this.#begin(messages)
    if (begun.kind === 'done') return this.#replay(begun.reply, sink)
    return this.#runBegun(begun.turn, messages, sink)
  }

  /** The messages to store. Only tool results need the history, in which their tool calls must be open. */
  async #storableMessages(prompt: Prompt): Promise<NewMessage[]> {
    const { store } = this.#context
    const before = hasToolResults(prompt) ? await readRecent(store, this.#sessionId) : []
    return storablePrompt(prompt, before).map(withId)
  }

  /** Begins the last turn again, for `resume`. @throws ConvokeError `invalid_request` when that turn is complete */
  async #beginAgain(): Promise<BegunTurn> {
    const { store } = this.#context
    for (let tries = 0; tries < maxResumeTries; tries++) {
      const [last] = await store.readMessages(this.#sessionId, { limit: 1 })
      if (last?.role !== 'assistant' || last.status === 'complete') break
      const answer = await this.#begin([], last.id)
      if (answer.kind !== 'stale') return answer
    }
    throw new ConvokeError(
      'invalid_request',
      'There is nothing to resume: the last turn of this session is complete.',
    )
  }

  /**
   * Stores the turn's messages and an empty reply, as soon as no other turn of the session runs.
   * @param repeats the id of the reply that the turn repeats
   */
  async #begin(messages: NewMessage[]): Promise<BegunTurn>
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
      // A turn of the same operation is always waited for: its reply is the reply of this turn.
      const isSame = operationId !== undefined && answer.operationId === operationId
      if (turns === 'reject' && !isSame) throw busyError(this.#sessionId)
      if (turns === 'fork' && !isSame && repeats === undefined) await this.#moveToFork(answer.replyId)
      else await sleep(waitMs, this.#controller.signal)
    }
  }

  /** Moves this turn to a fork of the session, from the message before the turn that runs there. */
  async #moveToFork(runningReplyId: string): Promise<void> {
    const { store, sessionId } = this.#context
    const base = await lastMessageBefore(store, sessionId, runningReplyId)
    const id = randomUUID()
    const record = await store.find(sessionId)
    const system = record?.system === undefined ? {} : { system: record.system }
    if (base) await store.forkSession(sessionId, { id, ...system }, base.id)
    else await store.open({ id, ...system })
    this.#sessionId = id
  }

  /** Calls the LLM, and stores the reply or the error. */
  async #runBegun(
    turn: TurnPosition['turn'],
    messages: NewMessage[],
    sink: StreamSink | undefined,
  ): Promise<SessionResponse> {
    const { store, prompt } = this.#context
    // From here on this turn writes signs of life, so that others wait for it, even while a summary is written first.
    const recorder = new Recorder(store, this.#replyId, () => this.#call?.provider ?? '')
    try {
      const position = { sessionId: this.#sessionId, turn, replyId: this.#replyId }
      // A second check, since another process may have answered the same tool call before this turn began.
      if (prompt !== undefined && hasToolResults(prompt)) {
        checkToolResults(messages, await readRecent(store, this.#sessionId, position))
      }
      return await this.#answer(position, recorder, sink)
    } catch (error) {
      await recorder.end()
      await this.#writeFailure(error)
      throw error
    }
  }

  async #answer(
    position: TurnPosition,
    recorder: Recorder,
    sink: StreamSink | undefined,
  ): Promise<SessionResponse> {
    const { llm, options, fit } = this.#context
    const signal = this.#controller.signal
    const { history, system: given } = await fit(position, options, signal)
    const system = [given, summaryOf(history)].filter((text) => text).join('\n\n')
    const prompt = (provider: string) => new NormalizedPrompt(sendableHistory(history, provider))
    const { signal: _signal, ...rest } = options
    const call = { ...rest, ...(system ? { system } : {}) }
    signal.throwIfAborted()
    if (!sink) {
      const response = await llm.source(prompt, { ...call, signal }).generate()
      return this.#finish(response, recorder)
    }
    this.#call = llm.source(prompt, call)
    const { response, finishChunk } = await runStream(this.#call, recorder, sink)
    const stored = await this.#finish(response, recorder)
    // The reader gets the finish chunk only now, when the reply is stored.
    if (finishChunk) void sink.push(finishChunk)
    return stored
  }

  async #finish(response: GenerateResponse, recorder: Recorder): Promise<SessionResponse> {
    await recorder.end()
    const storeError = await this.#writeEnd({ ...turnEndOf(response), status: 'complete' })
    return this.#sessionResponse(response, storeError)
  }

  async #writeFailure(error: unknown): Promise<void> {
    const known = isConvokeError(error) ? error : undefined
    const { code = 'store_failed', message = String(error), partial = this.partial() } = known ?? {}
    const status = code === 'cancelled' ? 'cancelled' : 'failed'
    await this.#writeEnd({ ...turnEndOf(partial), status, error: { code, message } })
  }

  /** Writes the end of the reply. When the store fails, the reply is still returned, but it is not stored. */
  async #writeEnd(end: TurnEnd): Promise<ConvokeError | undefined> {
    const { store } = this.#context
    try {
      await store.endTurn(this.#replyId, end)
      return undefined
    } catch (error) {
      keepUnwritten(store, { sessionId: this.#sessionId, replyId: this.#replyId, end })
      return asStoreError(error, store.name)
    }
  }

  /** Gives the stored reply of an operation that was done before. */
  async #replay(reply: StoredMessage, sink: StreamSink | undefined): Promise<SessionResponse> {
    const response = storedResponse(reply)
    const { schema } = this.#context.options
    if (schema && response.toolCalls.length === 0) response.output = await outputOf(response, schema)
    for (const chunk of chunksOf(response)) void sink?.push(chunk)
    return { ...response, sessionId: reply.sessionId, messageId: reply.id, persisted: true }
  }

  #sessionResponse(response: GenerateResponse, storeError: ConvokeError | undefined): SessionResponse {
    return Object.assign(response, {
      sessionId: this.#sessionId,
      messageId: this.#replyId,
      persisted: storeError === undefined,
      ...(storeError ? { storeError } : {}),
    })
  }
}

/** Runs the call. Its finish chunk is kept back, and all other chunks go to the recorder and to the reader. */
async function runStream(
  call: PendingCall,
  recorder: Recorder,
  sink: StreamSink,
): Promise<{ response: GenerateResponse; finishChunk: StreamChunk | undefined }> {
  let finishChunk: StreamChunk | undefined
  const response = await call.run({
    push: (chunk) => {
      if (chunk.type === 'finish') {
        finishChunk = chunk
        return undefined
      }
      recorder.add(chunk)
      return sink.push(chunk)
    },
  })
  return { response, finishChunk }
}

function withId<Content extends StoredContent>(content: Content): Content & { id: string } {
  return { ...content, id: messageId() }
}

function busyError(sessionId: string): ConvokeError {
  const message = `A turn of the session ${JSON.stringify(sessionId)} is running. Wait for it, or use turns: 'queue' or 'fork'.`
  return new ConvokeError('session_busy', message)
}

function hasToolResults(prompt: Prompt): boolean {
  return typeof prompt !== 'string' && [prompt].flat().some((message) => message?.role === 'tool')
}

/** The fields of a response that are stored. */
function turnEndOf(response: GenerateResponse): Omit<TurnEnd, 'status'> {
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

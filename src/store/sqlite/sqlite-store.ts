/**
 * The store over a SQLite file. This side makes rows and gathers writes; the thread `workers/sqlite` has the file open.
 */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { ConvokeError, isConvokeError } from '../../errors.ts'
import { WorkerPool } from '../../threads/worker-pool.ts'
import type {
  BranchPage,
  BranchCursor,
  StoreJob,
  StoreTask,
  StoreValues,
  StoreWrite,
  StoreFile,
  WriteValues,
} from './protocol.ts'
import { writeUnwritten } from '../unwritten-ends.ts'
import {
  checkId,
  checkText,
  fromAddedRows,
  fromMessageRow,
  fromSessionRow,
  messageText,
  toAddedRows,
  toJson,
  toMessageRow,
  toReplyRow,
  toRowSlices,
  toSessionRow,
} from './row-mapping.ts'
import { searchTerms } from './search-terms.ts'
import type {
  AddedMessage,
  Delta,
  NewMessage,
  NewSession,
  ReadOptions,
  ReplyFields,
  SearchHit,
  SessionRecord,
  Store,
  StoreCheck,
  StoredMessage,
  StorePlace,
  TurnAnswer,
  TurnEnd,
  TurnRequest,
  Writer,
} from '../store.ts'
import { claimBackup, removeTemporary, temporaryPath } from './store-paths.ts'
import { WriteQueue } from './write-queue.ts'
import { lostThreads, newWriterId, ownStart } from '../../threads/writer-liveness.ts'

/** Options of `sqliteStore`. */
export interface SqliteStoreOptions {
  /**
   * The file. It is created when it does not exist (its folder must exist), with access for its owner alone (0600).
   * @default a temporary file, `convoke-<process id>-….db`, deleted when the store is closed or the process exits
   */
  path?: string
  /**
   * `full`: acknowledged writes survive a loss of power. `normal`: they survive a crash of the process, and writing is
   * faster where the disk syncs slowly. @default 'full'; for a temporary file 'normal'
   */
  durability?: 'full' | 'normal'
  /** How long a write waits while another process writes, in milliseconds. @default 10_000 */
  busyTimeoutMs?: number
}

/** Most rows of one task, so that a long history stalls neither thread. */
const pageRows = 500
/** Up to this many sessions are listed by one task. */
const maxListed = 1_000
/** How often a history is read that was cleared or compacted while it was read. */
const maxReads = 5
const backupPollMs = 10
const defaultHits = 20
const maxHits = 1_000

/**
 * A store in a SQLite file, which one thread has open. Synchronous and cheap: the file is opened by the first call. A read
 * sees the writes that were acknowledged before it, so await a write before you read it.
 */
export function sqliteStore(options: SqliteStoreOptions = {}): Store {
  return new SqliteStore(options)
}

class SqliteStore implements Store {
  readonly name: string
  readonly writer: Writer = {
    id: newWriterId(),
    pid: process.pid,
    host: hostname(),
    started: ownStart(),
  }
  readonly #place: StorePlace
  readonly #file: Omit<StoreFile, 'wasOpened' | 'lostThreads'>
  readonly #isTemporary: boolean
  readonly #pool = new WorkerPool<StoreTask, StoreValues[StoreJob['kind']]>('sqlite', {
    maxThreads: 1,
    idleMs: Infinity,
  })
  readonly #queue = new WriteQueue((writes) => this.#run({ kind: 'write', writes }))
  #isUsed = false
  #wasOpened = false
  #closing: Promise<void> | undefined

  constructor({ path, durability, busyTimeoutMs = 10_000 }: SqliteStoreOptions) {
    this.#isTemporary = path === undefined
    // Resolved now, since the process may change its working directory later.
    this.name = path === undefined ? temporaryPath() : resolve(path)
    durability ??= this.#isTemporary ? 'normal' : 'full'
    this.#place = { path: this.name, durability, busyTimeoutMs }
    this.#file = { ...this.#place, writer: this.writer }
  }

  get place(): StorePlace {
    this.#checkOpen()
    return this.#place
  }

  async open(session: NewSession): Promise<SessionRecord> {
    return fromSessionRow(await this.#write({ kind: 'open-session', session: toSessionRow(session) }))
  }

  async find(id: string): Promise<SessionRecord | undefined> {
    const row = await this.#ask({ kind: 'find-session', id: checkText(id, 'id of a session') })
    return row === null ? undefined : fromSessionRow(row)
  }

  async list({ limit, offset }: { limit?: number; offset?: number } = {}): Promise<SessionRecord[]> {
    const wanted = checkCount(limit, 'limit', Infinity)
    const first = checkCount(offset, 'offset', 0)
    if (wanted > maxListed) return (await this.#listAll()).slice(first, first + wanted)
    const rows = await this.#ask({ kind: 'list-sessions', limit: wanted, offset: first })
    return rows.map(fromSessionRow)
  }

  /** In the order of their changes: a session that is changed meanwhile is read again, and none is missed. */
  async #listAll(): Promise<SessionRecord[]> {
    const records = new Map<string, SessionRecord>()
    for (let after = 0; ;) {
      const { rows, last } = await this.#ask({ kind: 'list-changed', after, limit: pageRows })
      for (const row of rows) {
        records.delete(row.id)
        records.set(row.id, fromSessionRow(row))
      }
      if (rows.length < pageRows) return [...records.values()].reverse()
      after = last
    }
  }

  async updateSession(
    id: string,
    { system, metadata }: { system?: string; metadata?: Record<string, unknown> },
  ): Promise<SessionRecord> {
    const fields = {
      ...(system === undefined ? {} : { system: checkText(system, 'system prompt').toWellFormed() }),
      ...(metadata === undefined ? {} : { metadata: toJson(metadata) }),
    }
    return fromSessionRow(await this.#write({ kind: 'update-session', id, ...fields }))
  }

  async forkSession(id: string, fork: NewSession, at?: string): Promise<SessionRecord> {
    const write = { kind: 'fork-session', id, fork: toSessionRow(fork) } as const
    return fromSessionRow(await this.#write({ ...write, ...(at === undefined ? {} : { at }) }))
  }

  async deleteSession(id: string): Promise<void> {
    await this.#write({ kind: 'delete-session', id })
  }

  async clearSession(id: string): Promise<void> {
    await this.#write({ kind: 'clear-session', id })
  }

  async readMessages(sessionId: string, options: ReadOptions = {}): Promise<StoredMessage[]> {
    const { before, includeCompacted = false, includeSummary = false } = options
    const wanted = checkCount(options.limit, 'limit', Infinity)
    const query = { sessionId, includeCompacted, includeSummary, ...(before === undefined ? {} : { before }) }
    for (let read = 0; read < maxReads; read++) {
      const messages = await this.#readPages(query, wanted)
      if (messages) return messages
    }
    const message = `[store ${this.name}] The session ${JSON.stringify(sessionId)} was cleared or compacted each time that it was read. Try again.`
    throw new ConvokeError('store_failed', message)
  }

  /** Undefined when the branch was cleared or compacted between two pages. */
  async #readPages(query: Omit<BranchPage, 'limit'>, wanted: number): Promise<StoredMessage[] | undefined> {
    const messages: StoredMessage[] = []
    let from: BranchCursor | undefined
    for (;;) {
      const limit = Math.min(pageRows, wanted - messages.length)
      const page = { ...query, limit, ...(from ? { from } : {}) }
      const answer = await this.#ask({ kind: 'read-branch', page })
      if (answer === 'stale') return undefined
      messages.push(...answer.rows.slice(0, limit).map(fromMessageRow))
      from = answer.next
      if (from !== undefined && messages.length < wanted) continue
      if (answer.summary) messages.push(fromMessageRow(answer.summary))
      return messages.reverse()
    }
  }

  async addMessages(sessionId: string, messages: readonly AddedMessage[]): Promise<StoredMessage[]> {
    const rows = toAddedRows(messages)
    return fromAddedRows(
      sessionId,
      rows,
      await this.#write({ kind: 'add-messages', sessionId, messages: rows }),
    )
  }

  async importSession(session: NewSession, messages: readonly AddedMessage[]): Promise<SessionRecord> {
    const write = { session: toSessionRow(session), messages: await toRowSlices(messages) }
    return fromSessionRow(await this.#write({ kind: 'import-session', ...write }))
  }

  async compact(sessionId: string, summary: NewMessage & ReplyFields, upTo: string): Promise<SessionRecord> {
    const write = { kind: 'compact', sessionId, summary: toMessageRow(summary), upTo } as const
    return fromSessionRow(await this.#write({ ...write, reply: toReplyRow(summary) }))
  }

  async beginTurn({ messages, replyId, operationId, ...request }: TurnRequest): Promise<TurnAnswer> {
    const answer = await this.#write({
      kind: 'begin-turn',
      ...request,
      replyId: checkId(replyId, 'reply'),
      messages: messages.map(toMessageRow),
      ...(operationId === undefined ? {} : { operationId: checkId(operationId, 'operation') }),
    })
    return answer.kind === 'done' ? { kind: 'done', reply: fromMessageRow(answer.reply) } : answer
  }

  async findOperation(sessionId: string, operationId: string): Promise<StoredMessage | undefined> {
    const row = await this.#ask({ kind: 'find-operation', sessionId, operationId })
    return row === null ? undefined : fromMessageRow(row)
  }

  async appendDelta(replyId: string, { number, parts, isAnew = false }: Delta): Promise<void> {
    await this.#write({ kind: 'append-delta', replyId, number, parts: toJson(parts), isAnew })
  }

  async endTurn(replyId: string, { status, content, ...fields }: TurnEnd): Promise<void> {
    const written = { content: toJson(content), text: messageText(content), reply: toReplyRow(fields) }
    await this.#write({ kind: 'end-turn', replyId, status, ...written })
  }

  async interruptTurn(replyId: string, beat: number): Promise<void> {
    await this.#write({ kind: 'interrupt-turn', replyId, beat })
  }

  async search(query: string, options: { sessionId?: string; limit?: number } = {}): Promise<SearchHit[]> {
    const terms = searchTerms(checkText(query, 'query'))
    const limit = Math.min(checkCount(options.limit, 'limit', defaultHits), maxHits)
    if (terms.length === 0 || limit === 0) return []
    // The index lags behind the commits. A search waits until it has them all.
    while ((await this.#ask({ kind: 'index' })) > 0);
    const { sessionId } = options
    const sought = { terms, limit, ...(sessionId === undefined ? {} : { sessionId }) }
    const rows = await this.#ask({ kind: 'search', query: sought })
    return rows.map(({ message, ...hit }) => ({ message: fromMessageRow(message), ...hit }))
  }

  async backup(path: string): Promise<void> {
    this.#checkOpen()
    const target = resolve(path)
    await claimBackup(target, this.name)
    const job = { kind: 'backup', id: randomUUID(), path: target } as const
    try {
      while ((await this.#ask(job)) === 'running') await setTimeout(backupPollMs)
    } catch (error) {
      for (const end of ['', '-journal', '-wal', '-shm']) rmSync(target + end, { force: true })
      throw error
    }
  }

  async vacuum(): Promise<void> {
    await this.#ask({ kind: 'vacuum' })
  }

  async check(): Promise<StoreCheck> {
    return this.#ask({ kind: 'check' })
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    // This comes before the first await, after which the store refuses writes. A failure was reported by its turn.
    await writeUnwritten(this).catch(() => {})
    await this.#queue.drained()
    try {
      if (this.#isUsed) await this.#run({ kind: 'close' })
    } catch (error) {
      // When the file never opened, the calls that needed it have failed with the reason.
      if (this.#wasOpened) throw error
    } finally {
      await this.#pool.close()
      if (this.#isTemporary) removeTemporary(this.name)
    }
  }

  async #write<W extends StoreWrite>(write: W): Promise<WriteValues[W['kind']]> {
    this.#checkOpen()
    return this.#queue.write(write)
  }

  async #ask<J extends StoreJob>(job: J): Promise<StoreValues[J['kind']]> {
    this.#checkOpen()
    return this.#run(job)
  }

  async #run<J extends StoreJob>(job: J): Promise<StoreValues[J['kind']]> {
    this.#isUsed = true
    try {
      const file = { ...this.#file, wasOpened: this.#wasOpened, lostThreads: lostThreads() }
      const value = (await this.#pool.run({ file, job })) as StoreValues[J['kind']]
      if (job.kind !== 'close') this.#wasOpened = true
      return value
    } catch (error) {
      // The file must be open, or it could not tell that a session is missing.
      if (isConvokeError(error) && error.code === 'session_not_found') this.#wasOpened = true
      // The value cannot be cloned for the other thread: it has a function, say.
      if (error instanceof DOMException)
        throw new ConvokeError(
          'store_failed',
          `[store ${this.name}] This cannot be stored: ${error.message} Give plain data only.`,
          { cause: error },
        )
      throw error
    }
  }

  #checkOpen(): void {
    if (!this.#closing) return
    throw new ConvokeError('store_failed', `[store ${this.name}] The store was closed. Open a new one.`)
  }
}

function checkCount(given: number | undefined, what: string, otherwise: number): number {
  const value = given ?? otherwise
  if (value === Infinity || (Number.isSafeInteger(value) && value >= 0)) return value
  throw new ConvokeError('store_failed', `The ${what} is ${String(value)}. Give a whole number, 0 or more.`)
}

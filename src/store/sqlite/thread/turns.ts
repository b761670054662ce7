/** Turns: each session has at most one at a time, over all processes. A turn whose writer died is interrupted. */
import { ConvokeError } from '../../../errors.ts'
import type { Writer } from '../../store.ts'
import type { BeginTurn, MessageRow, ReplyRow, StoreWriteOf, TurnAnswerRow } from '../protocol.ts'
import { messageText } from '../row-mapping.ts'
import type { Connection } from './connection.ts'
import { isWriterAlive } from './is-writer-alive.ts'
import {
  queueForIndexing,
  deltasOf,
  insertMessage,
  messageAt,
  moveHead,
  sequenceOf,
  sessionEnds,
  touch,
} from './messages.ts'
import { unindex } from './search.ts'

/** A running turn with its writer. */
interface RunningReply {
  sessionId: string
  /** The sequence of the reply. */
  reply: number
  replyId: string
  operationId: string | null
  /** The writer's id. */
  writer: string
  pid: number
  host: string
  started: string
  beat: number
}

const selectRunning = `SELECT r.session_id AS sessionId, r.reply, m.id AS replyId, m.operation_id AS operationId,
  r.writer, r.pid, r.host, r.started, r.beat FROM running r JOIN messages m ON m.sequence = r.reply`

function runningOf(connection: Connection, sessionId: string): RunningReply | undefined {
  return connection.get<RunningReply>(`${selectRunning} WHERE r.session_id = ?`, sessionId)
}

export function beginTurn(connection: Connection, write: BeginTurn): TurnAnswerRow {
  const { sessionId, replyId, operationId, repeats } = write
  const ends = sessionEnds(connection, sessionId)
  if (sequenceOf(connection, replyId) !== undefined) return begunBefore(connection, write)
  const done = operationId === undefined ? undefined : completedReply(connection, sessionId, operationId)
  if (done !== undefined) return { kind: 'done', reply: messageAt(connection, done) }
  const running = runningOf(connection, sessionId)
  if (running && isAlive(running, connection)) return busy(running)
  if (running) interrupt(connection, running)

  // An interruption made the reply the head.
  const { head, headTurn } = running ? sessionEnds(connection, sessionId) : ends
  const repeated = repeats === undefined ? undefined : repeatableTurn(connection, head, repeats)
  if (repeats !== undefined && !repeated) return { kind: 'stale' }
  const turn = repeated?.turn ?? headTurn + 1
  let parent = repeated ? repeated.parent : head
  let first: number | undefined
  for (const message of write.messages) {
    parent = insertMessage(connection, message, { sessionId, parent, turn, status: 'complete' })
    first ??= parent
  }
  const empty = { id: replyId, role: 'assistant', content: '[]', text: '' } as const
  const position = {
    sessionId,
    parent,
    turn,
    status: 'streaming',
    ...operationOf(operationId ?? repeated?.operationId),
  } as const
  const reply = insertMessage(connection, empty, position)
  const { id, pid, host, started } = write.writer
  connection.run(
    'INSERT INTO running (session_id, reply, first, writer, pid, host, started) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ...[sessionId, reply, first ?? reply, id, pid, host, started],
  )
  touch(connection, sessionId)
  return { kind: 'begun', turn }
}

/** The answer to a turn that was begun before: the thread died between the commit and its answer. */
function begunBefore(connection: Connection, { sessionId, replyId, messages }: BeginTurn): TurnAnswerRow {
  const reply = messageAt(connection, sequenceOf(connection, replyId) as number)
  const first = messages[0] === undefined ? reply.sequence : sequenceOf(connection, messages[0].id)
  if (reply.sessionId !== sessionId || first === undefined) {
    const message = `[store ${connection.file.path}] There is already a message ${JSON.stringify(replyId)}. Give each reply an id of its own.`
    throw new ConvokeError('store_failed', message)
  }
  return { kind: 'begun', turn: reply.turn }
}

/** The sequence of an operation's complete reply. */
function completedReply(connection: Connection, sessionId: string, operationId: string): number | undefined {
  const sql = `SELECT sequence FROM messages WHERE session_id = ? AND operation_id = ? AND operation_id IS NOT NULL
    AND status = 'complete' ORDER BY sequence DESC LIMIT 1`
  return connection.value<number>(sql, sessionId, operationId)
}

/** The turn of a reply that may be repeated: it is the branch's last, and did not complete. */
function repeatableTurn(connection: Connection, head: number | null, id: string) {
  const sql = `SELECT sequence, parent, turn, operation_id AS operationId FROM messages WHERE id = ?
    AND role = 'assistant' AND status IN ('interrupted', 'cancelled', 'failed')`
  type Repeatable = { sequence: number; parent: number | null; turn: number; operationId: string | null }
  const found = connection.get<Repeatable>(sql, id)
  return found?.sequence === head ? found : undefined
}

function operationOf(operationId: string | null | undefined): { operationId?: string } {
  return operationId ? { operationId } : {}
}

export function findOperation(
  connection: Connection,
  sessionId: string,
  operationId: string,
): MessageRow | null {
  const done = completedReply(connection, sessionId, operationId)
  return done === undefined ? null : messageAt(connection, done)
}

function busy(running: RunningReply): TurnAnswerRow {
  const { replyId, operationId, beat } = running
  return {
    kind: 'busy',
    replyId,
    ...(operationId === null ? {} : { operationId }),
    writer: writerOf(running),
    beat,
  }
}

function writerOf({ writer, pid, host, started }: RunningReply): Writer {
  return { id: writer, pid, host, started }
}

function isAlive(running: RunningReply, { file }: Connection): boolean {
  return isWriterAlive(writerOf(running), file)
}

/** Ends a reply with the content of its deltas. The branch goes on from it. */
function interrupt(
  connection: Connection,
  { sessionId, reply }: Pick<RunningReply, 'sessionId' | 'reply'>,
): void {
  const content = deltasOf(connection, reply)
  connection.run(
    `UPDATE messages SET status = 'interrupted', content = ?, text = ? WHERE sequence = ?`,
    ...[JSON.stringify(content), messageText(content), reply],
  )
  settle(connection, sessionId, reply)
}

/** Removes what only a running turn needs, and makes its reply the head. */
function settle(connection: Connection, sessionId: string, reply: number): void {
  connection.run('DELETE FROM deltas WHERE reply = ?', reply)
  connection.run('DELETE FROM running WHERE reply = ?', reply)
  queueForIndexing(connection, reply)
  moveHead(connection, sessionId, reply)
}

/** Interrupts all turns whose writer is dead. Called when the store is opened. */
export function interruptDead(connection: Connection): void {
  interruptAll(connection, (running) => !isAlive(running, connection))
}

/** The same before a session is read, when that session's writer is dead. */
export function interruptDeadOf(connection: Connection, sessionId: string): void {
  const running = runningOf(connection, sessionId)
  if (running && !isAlive(running, connection)) interruptDead(connection)
}

/** Interrupts all turns of this store, which is about to close. */
export function interruptOwn(connection: Connection): void {
  interruptAll(connection, ({ writer }) => writer === connection.file.writer.id)
}

function interruptAll(connection: Connection, isOver: (running: RunningReply) => boolean): void {
  if (!connection.all<RunningReply>(selectRunning).some(isOver)) return
  connection.transaction(() => {
    for (const running of connection.all<RunningReply>(selectRunning).filter(isOver))
      interrupt(connection, running)
  })
}

/** Interrupts the turn of a session that is about to be deleted. */
export function interruptSession(connection: Connection, sessionId: string): void {
  const running = runningOf(connection, sessionId)
  if (running) interrupt(connection, running)
}

export function interruptTurn(
  connection: Connection,
  { replyId, beat }: StoreWriteOf<'interrupt-turn'>,
): null {
  const running = connection.get<RunningReply>(`${selectRunning} WHERE m.id = ?`, replyId)
  if (running?.beat === beat) interrupt(connection, running)
  return null
}

export function appendDelta(connection: Connection, write: StoreWriteOf<'append-delta'>): null {
  const { replyId, number, parts, isAnew } = write
  const sequence = connection.value<number>(
    `UPDATE running SET beat = beat + 1 WHERE reply = (SELECT sequence FROM messages WHERE id = ?) RETURNING reply`,
    replyId,
  )
  if (sequence === undefined) return lateDelta(connection, replyId)
  // Later deltas stay: a batch that is written again must not undo what followed it.
  if (isAnew) connection.run('DELETE FROM deltas WHERE reply = ? AND number < ?', sequence, number)
  if (parts !== '[]') {
    const insert = 'INSERT OR IGNORE INTO deltas (reply, number, parts) VALUES (?, ?, ?)'
    connection.run(insert, sequence, number, parts)
  }
  return null
}

/** A delta after the reply's end is ignored. After an interruption it is refused, since it would be lost silently. */
function lateDelta(connection: Connection, replyId: string): null {
  const { status } = replyOf(connection, replyId)
  if (status !== 'interrupted') return null
  const message = `[store ${connection.file.path}] The reply ${JSON.stringify(replyId)} was marked as interrupted, since its writer seemed dead. End the turn: that stores its whole content.`
  throw new ConvokeError('store_failed', message)
}

function replyOf(connection: Connection, replyId: string) {
  const found = connection.get<{ sequence: number; sessionId: string; status: string; text: string }>(
    'SELECT sequence, session_id AS sessionId, status, text FROM messages WHERE id = ?',
    replyId,
  )
  if (found) return found
  const message = `[store ${connection.file.path}] The reply ${JSON.stringify(replyId.slice(0, 100))} is gone: its session was deleted.`
  throw new ConvokeError('session_not_found', message)
}

export function endTurn(connection: Connection, write: StoreWriteOf<'end-turn'>): null {
  const { sequence, sessionId, status } = replyOf(connection, write.replyId)
  // It was ended before: the thread died between the commit and its answer.
  if (status !== 'streaming' && status !== 'interrupted') return null
  if (status === 'interrupted') unindex(connection, [sequence])
  connection.run(
    'UPDATE messages SET status = ?, content = ?, text = ? WHERE sequence = ?',
    ...[write.status, write.content, write.text, sequence],
  )
  setReply(connection, sequence, write.reply)
  // An interrupted reply is on its branch already, and the branch may have gone on: the head stays.
  if (status === 'interrupted') queueForIndexing(connection, sequence)
  else settle(connection, sessionId, sequence)
  return null
}

/** Writes the reply fields of a new row. */
export function setReply(connection: Connection, sequence: number, reply: ReplyRow): void {
  // The columns are null from the start, and stay so for most messages of users.
  if (Object.values(reply).every((value) => value === null)) return
  connection.run(
    `UPDATE messages SET provider = ?, model = ?, response_id = ?, finish_reason = ?, raw_finish_reason = ?,
      refusal = ?, usage = ?, cost_usd = ?, timing = ?, warnings = ?, error = ? WHERE sequence = ?`,
    ...[
      reply.provider,
      reply.model,
      reply.responseId,
      reply.finishReason,
      reply.rawFinishReason,
      reply.refusal,
    ],
    ...[reply.usage, reply.costUsd, reply.timing, reply.warnings, reply.error, sequence],
  )
}

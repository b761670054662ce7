/** Turns: one of a session at a time, whichever process writes it, and what becomes of those whose writer died. */
import { ConvokeError } from '../../../errors.ts'
import type { BeginTurn, StoreWrite, MessageRow, ReplyRow, StoreFile, TurnAnswerRow } from '../protocol.ts'
import { isOfThreads, processStart } from '../../../threads/writer-liveness.ts'
import { messageText } from '../row-mapping.ts'
import type { Connection } from './connection.ts'
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

type Write<Kind extends StoreWrite['kind']> = Extract<StoreWrite, { kind: Kind }>

interface Running {
  sessionId: string
  reply: number
  replyId: string
  operationId: string | null
  writer: string
  pid: number
  host: string
  started: string
  beat: number
}

const selectRunning = `SELECT r.session_id AS sessionId, r.reply, m.id AS replyId, m.operation_id AS operationId,
  r.writer, r.pid, r.host, r.started, r.beat FROM running r JOIN messages m ON m.sequence = r.reply`

function runningOf(connection: Connection, sessionId: string): Running | undefined {
  return connection.get<Running>(`${selectRunning} WHERE r.session_id = ?`, sessionId)
}

export function beginTurn(connection: Connection, write: BeginTurn): TurnAnswerRow {
  const { sessionId, replyId, operationId, repeats } = write
  const ends = sessionEnds(connection, sessionId)
  if (sequenceOf(connection, replyId) !== undefined) return begunBefore(connection, write)
  const done = operationId === undefined ? undefined : doneBefore(connection, sessionId, operationId)
  if (done !== undefined) return { kind: 'done', reply: messageAt(connection, done) }
  const running = runningOf(connection, sessionId)
  if (running && isAlive(running, connection.file)) return busy(running)
  if (running) interrupt(connection, running)

  // An interrupted reply is the head now.
  const { head, headTurn } = running ? sessionEnds(connection, sessionId) : ends
  const repeated = repeats === undefined ? undefined : brokenTurn(connection, head, repeats)
  if (repeats !== undefined && !repeated) return { kind: 'stale' }
  const turn = repeated?.turn ?? headTurn + 1
  let parent = repeated ? repeated.parent : head
  let first: number | undefined
  for (const message of write.messages) {
    parent = insertMessage(connection, message, { sessionId, parent, turn, status: 'complete' })
    first ??= parent
  }
  const empty = { id: replyId, role: 'assistant', content: '[]', text: '' } as const
  const place = {
    sessionId,
    parent,
    turn,
    status: 'streaming',
    ...operationOf(operationId ?? repeated?.operationId),
  } as const
  const reply = insertMessage(connection, empty, place)
  const { id, pid, host, started } = write.writer
  connection.run(
    'INSERT INTO running (session_id, reply, first, writer, pid, host, started) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ...[sessionId, reply, first ?? reply, id, pid, host, started],
  )
  touch(connection, sessionId)
  return { kind: 'begun', turn }
}

/** The thread died between the commit and its answer. */
function begunBefore(connection: Connection, { sessionId, replyId, messages }: BeginTurn): TurnAnswerRow {
  const reply = messageAt(connection, sequenceOf(connection, replyId) as number)
  const first = messages[0] === undefined ? reply.sequence : sequenceOf(connection, messages[0].id)
  if (reply.sessionId !== sessionId || first === undefined) {
    const message = `[store ${connection.file.path}] There is a message ${JSON.stringify(replyId)} already. Give each reply an id of its own.`
    throw new ConvokeError('store_failed', message)
  }
  return { kind: 'begun', turn: reply.turn }
}

function doneBefore(connection: Connection, sessionId: string, operationId: string): number | undefined {
  const sql = `SELECT sequence FROM messages WHERE session_id = ? AND operation_id = ? AND operation_id IS NOT NULL
    AND status = 'complete' ORDER BY sequence DESC LIMIT 1`
  return connection.value<number>(sql, sessionId, operationId)
}

/** The turn that a reply ended and that may be repeated: the branch's last, which was not finished. */
function brokenTurn(connection: Connection, head: number | null, id: string) {
  const sql = `SELECT sequence, parent, turn, operation_id AS operationId FROM messages WHERE id = ?
    AND role = 'assistant' AND status IN ('interrupted', 'cancelled', 'failed')`
  type Broken = { sequence: number; parent: number | null; turn: number; operationId: string | null }
  const found = connection.get<Broken>(sql, id)
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
  const done = doneBefore(connection, sessionId, operationId)
  return done === undefined ? null : messageAt(connection, done)
}

function busy({ replyId, operationId, writer, pid, host, started, beat }: Running): TurnAnswerRow {
  return {
    kind: 'busy',
    replyId,
    ...(operationId === null ? {} : { operationId }),
    writer: { id: writer, pid, host, started },
    beat,
  }
}

/** No clock says that a writer is dead: only its process does, on this host, and who saw its thread die. */
function isAlive({ writer, pid, host, started }: Running, file: StoreFile): boolean {
  const self = file.writer
  if (writer === self.id || host !== self.host) return true
  if (pid === self.pid && started === self.started && isOfThreads(writer, file.lostThreads)) return false
  try {
    process.kill(pid, 0)
    // Another process may have its id by now; after the restart of a container, this very one. A start that cannot be read
    // (this process may have no more files to open) says nothing.
    const found = processStart(pid)
    return started === '' || found === '' || started === found
  } catch (error) {
    // EPERM is a living process of somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Keeps what had arrived, and lets the branch go on from it. */
function interrupt(connection: Connection, { sessionId, reply }: Pick<Running, 'sessionId' | 'reply'>): void {
  const content = deltasOf(connection, reply)
  connection.run(
    `UPDATE messages SET status = 'interrupted', content = ?, text = ? WHERE sequence = ?`,
    ...[JSON.stringify(content), messageText(content), reply],
  )
  settle(connection, sessionId, reply)
}

function settle(connection: Connection, sessionId: string, reply: number): void {
  connection.run('DELETE FROM deltas WHERE reply = ?', reply)
  connection.run('DELETE FROM running WHERE reply = ?', reply)
  queueForIndexing(connection, reply)
  moveHead(connection, sessionId, reply)
}

/** Of processes that died. Called as the store is opened. */
export function interruptDead(connection: Connection): void {
  interruptAll(connection, (running) => !isAlive(running, connection.file))
}

/** Of one session, that is about to be read. */
export function interruptDeadOf(connection: Connection, sessionId: string): void {
  const running = runningOf(connection, sessionId)
  if (running && !isAlive(running, connection.file)) interruptDead(connection)
}

/** Of this writer, which is about to go. */
export function interruptOwn(connection: Connection): void {
  interruptAll(connection, ({ writer }) => writer === connection.file.writer.id)
}

function interruptAll(connection: Connection, isOver: (running: Running) => boolean): void {
  if (!connection.all<Running>(selectRunning).some(isOver)) return
  connection.transaction(() => {
    for (const running of connection.all<Running>(selectRunning).filter(isOver))
      interrupt(connection, running)
  })
}

/** Of a session that is about to go. */
export function interruptSession(connection: Connection, sessionId: string): void {
  const running = runningOf(connection, sessionId)
  if (running) interrupt(connection, running)
}

export function interruptTurn(connection: Connection, { replyId, beat }: Write<'interrupt-turn'>): null {
  const running = connection.get<Running>(`${selectRunning} WHERE m.id = ?`, replyId)
  if (running?.beat === beat) interrupt(connection, running)
  return null
}

export function appendDelta(connection: Connection, write: Write<'append-delta'>): null {
  const { replyId, number, parts, isAnew } = write
  const sequence = connection.value<number>(
    `UPDATE running SET beat = beat + 1 WHERE reply = (SELECT sequence FROM messages WHERE id = ?) RETURNING reply`,
    replyId,
  )
  if (sequence === undefined) return lateDelta(connection, replyId)
  // Not those behind it: a batch that is written again must not undo what followed.
  if (isAnew) connection.run('DELETE FROM deltas WHERE reply = ? AND number < ?', sequence, number)
  if (parts !== '[]') {
    const insert = 'INSERT OR IGNORE INTO deltas (reply, number, parts) VALUES (?, ?, ?)'
    connection.run(insert, sequence, number, parts)
  }
  return null
}

/** After the end of its reply a delta has nothing to add; after an interruption it would be lost without a word. */
function lateDelta(connection: Connection, replyId: string): null {
  const { status } = replyOf(connection, replyId)
  if (status !== 'interrupted') return null
  const message = `[store ${connection.file.path}] The reply ${JSON.stringify(replyId)} was marked as interrupted, since its writer seemed dead. End the turn: its whole content is stored then.`
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

export function endTurn(connection: Connection, write: Write<'end-turn'>): null {
  const { sequence, sessionId, status } = replyOf(connection, write.replyId)
  // Ended before: the thread died between the commit and its answer.
  if (status !== 'streaming' && status !== 'interrupted') return null
  if (status === 'interrupted') unindex(connection, [sequence])
  connection.run(
    'UPDATE messages SET status = ?, content = ?, text = ? WHERE sequence = ?',
    ...[write.status, write.content, write.text, sequence],
  )
  setReply(connection, sequence, write.reply)
  // A branch that went on without this reply keeps its head.
  if (status === 'interrupted') queueForIndexing(connection, sequence)
  else settle(connection, sessionId, sequence)
  return null
}

/** Once for a row. */
export function setReply(connection: Connection, sequence: number, reply: ReplyRow): void {
  // A row begins without any of it, as most messages that users write end.
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

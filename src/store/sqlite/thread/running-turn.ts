/** The running turn of a session, and where its messages are. */
import type { Connection } from './connection.ts'

export interface RunningTurn {
  /** The sequence of its first message. */
  first: number
  /** The sequence of its reply. */
  reply: number
  /** The sequence of the message before its first. */
  parent: number | null
}

export function runningTurn(connection: Connection, sessionId: string): RunningTurn | undefined {
  return connection.get<RunningTurn>(
    `SELECT first, reply, (SELECT parent FROM messages WHERE sequence = first) AS parent FROM running
      WHERE session_id = ?`,
    sessionId,
  )
}

/** The sequences of a running turn's messages, from its reply back to its first. */
export function sequencesOfTurn(connection: Connection, { first, reply }: RunningTurn): number[] {
  const sequences = [reply]
  for (let at = reply; at !== first;) {
    at = connection.value<number>('SELECT parent FROM messages WHERE sequence = ?', at) as number
    sequences.push(at)
  }
  return sequences
}

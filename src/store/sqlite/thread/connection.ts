/** The open database of this thread. */
import { statSync } from 'node:fs'
import type { Database, Statement } from 'better-sqlite3'
import { ConvokeError } from '../../../errors.ts'
import type { StoreFile } from '../protocol.ts'
import { openDatabase } from './open-database.ts'

type Value = string | number | null

/** A database whose statements are prepared once. */
export class Connection {
  /** The file as the present task describes it. */
  file: StoreFile
  readonly database: Database
  readonly #statements = new Map<string, Statement<Value[]>>()
  readonly #inode: bigint

  constructor(file: StoreFile) {
    this.file = file
    this.database = openDatabase(file)
    this.#inode = statSync(file.path, { bigint: true }).ino
  }

  /**
   * Writes to a file that was deleted would succeed, and be lost.
   * @throws ConvokeError `store_failed` when the path no longer leads to the open file
   */
  checkFile(): void {
    const found = statSync(this.file.path, { bigint: true, throwIfNoEntry: false })
    if (found?.ino === this.#inode) return
    const message = `[store ${this.file.path}] The file was moved or deleted while in use. Put it back, or open a new store.`
    throw new ConvokeError('store_failed', message)
  }

  /** Gives the number of changed rows. */
  run(sql: string, ...values: Value[]): number {
    return this.#prepare(sql).run(...values).changes
  }

  /** Gives the new row's key. A RETURNING clause would double the cost. */
  insert(sql: string, ...values: Value[]): number {
    return Number(this.#prepare(sql).run(...values).lastInsertRowid)
  }

  get<Row>(sql: string, ...values: Value[]): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined
  }

  all<Row>(sql: string, ...values: Value[]): Row[] {
    return this.#prepare(sql).all(...values) as Row[]
  }

  /** The first column of the first row. */
  value<T>(sql: string, ...values: Value[]): T | undefined {
    const row = this.get<Record<string, T>>(sql, ...values)
    return row === undefined ? undefined : Object.values(row)[0]
  }

  /** A write transaction, immediate from the start: a deferred one ignores the busy time-out when it begins to write. */
  transaction<T>(work: () => T): T {
    return this.#within('BEGIN IMMEDIATE', work)
  }

  /** Several reads of one state, whatever other processes write meanwhile. */
  snapshot<T>(read: () => T): T {
    return this.#within('BEGIN', read)
  }

  #within<T>(begin: string, work: () => T): T {
    const { database } = this
    database.exec(begin)
    try {
      const value = work()
      database.exec('COMMIT')
      return value
    } finally {
      if (database.inTransaction) database.exec('ROLLBACK')
    }
  }

  #prepare(sql: string): Statement<Value[]> {
    let statement = this.#statements.get(sql)
    if (!statement) this.#statements.set(sql, (statement = this.database.prepare(sql)))
    return statement
  }
}

/** Bounds a database as a small disk would, until the ballast is removed: for users who may mount nothing. */
import { existsSync } from 'node:fs'
import SQLite from 'better-sqlite3'

const pages = process.env['CONVOKE_TEST_MAX_PAGES']
const ballast = process.env['CONVOKE_TEST_BALLAST']
const { exec } = SQLite.prototype
if (pages !== undefined)
  SQLite.prototype.exec = function (source: string) {
    if (source === 'BEGIN IMMEDIATE')
      this.pragma(`max_page_count = ${ballast && existsSync(ballast) ? pages : 1_000_000}`)
    return exec.call(this, source)
  }

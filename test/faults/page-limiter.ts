/**
 * Limits the size of a database until the ballast is removed. It replaces a small disk for users who cannot mount one.
 */
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

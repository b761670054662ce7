/**
 * A server in a process of its own that sends more than a client should accept. The path of the base URL says what it
 * sends (`/flood/openai`). It reports how much of it the client accepted.
 */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import zlib from 'node:zlib'
import { tell } from './fork-module.ts'
import { plainOf, streamOf, streams, understand } from './vendors.ts'
import type { Vendor } from './vendors.ts'

const MiB = 1_048_576
/** The total bytes of a response that ends. */
const floodBytes = 512 * MiB
const lineBytes = 64 * MiB
const bombBytes = 1_024 * MiB

/** The bytes of the last response, and how it ended. */
const state = { sentBytes: 0, isClosed: false }

/** Writes a piece repeatedly, no faster than the client reads. */
function pour(response: http.ServerResponse, piece: Buffer, total: number, onDone: () => void): void {
  const go = () => {
    while (state.sentBytes < total) {
      if (response.destroyed) return
      state.sentBytes += piece.length
      if (!response.write(piece)) return void response.once('drain', go)
    }
    onDone()
  }
  go()
}

/** The beginning and the end of each vendor's reply, around its text. */
const mark = '@@@'
const around = (whole: string) => whole.split(mark) as [before: string, after: string]

/** Text that gzip packs to a thousandth. Several gzip members in a row are one valid stream. */
function bomb(before: string, filling: string, after: string): Buffer {
  const block = zlib.gzipSync(Buffer.alloc(16 * MiB, filling))
  const blocks = Array.from({ length: bombBytes / (16 * MiB) }, () => block)
  return Buffer.concat([zlib.gzipSync(before), ...blocks, zlib.gzipSync(after)])
}

const letters = Buffer.alloc(MiB, 'x')

type Play = (response: http.ServerResponse, vendor: Vendor) => void

const plays: Record<string, Play> = {
  /** A correct reply, which loads the SDK before memory is measured. */
  warm: (response, vendor) => response.end(streamOf(vendor, ['Hi'])),
  /** A long stream of ordinary events. */
  flood: (response, vendor) => flood(response, vendor, 65_536),
  /** The same text in a few large events, like those of a vendor that sends its reply in one piece. */
  'flood-large': (response, vendor) => flood(response, vendor, MiB),
  /** Short lines of an event that never ends. */
  'endless-event'(response, vendor) {
    const { head, text } = streams[vendor]
    response.write(head + text('Hi'))
    pour(response, Buffer.from('data: x\n'.repeat(MiB / 8)), Infinity, () => {})
  },
  /** One line of 64 MiB, and then the rest of the stream. */
  line(response, vendor) {
    const [before, after] = around(streamOf(vendor, ['Hi', mark]))
    response.write(before)
    pour(response, letters, lineBytes, () => response.end(after))
  },
  'endless-line'(response, vendor) {
    response.write(around(streamOf(vendor, ['Hi', mark]))[0])
    pour(response, letters, Infinity, () => {})
  },
  'endless-plain'(response, vendor) {
    response.write(around(plainOf(vendor, mark))[0])
    pour(response, letters, Infinity, () => {})
  },
  'endless-error-plain'(response) {
    response.statusCode = 500
    response.write('{"error":{"message":"')
    pour(response, letters, Infinity, () => {})
  },
  'bomb-plain'(response, vendor) {
    packed(response, bomb(...withFilling(around(plainOf(vendor, mark)), ' ')))
  },
  'bomb-zeros-plain': (response) => packed(response, bomb('', '\0', '')),
  'bomb-line'(response, vendor) {
    packed(response, bomb(...withFilling(around(streamOf(vendor, ['Hi', mark])), ' ')))
  },
  /** Short lines of a reply that is too long. */
  'bomb-blank-lines'(response, vendor) {
    const { head, text, tail } = streams[vendor]
    packed(response, bomb(head + text('Hi'), '\n', tail))
  },
}

function flood(response: http.ServerResponse, vendor: Vendor, pieceLength: number): void {
  const { head, text, tail } = streams[vendor]
  response.write(head)
  const piece = Buffer.from(text('x'.repeat(pieceLength)))
  pour(response, piece, floodBytes, () => response.end(tail))
}

function withFilling([before, after]: [string, string], filling: string): [string, string, string] {
  return [before, filling, after]
}

function packed(response: http.ServerResponse, body: Buffer): void {
  response.setHeader('content-encoding', 'gzip')
  state.sentBytes = body.length
  response.end(body)
}

const server = http.createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8').on('data', (piece: string) => (body += piece))
  request.on('end', () => {
    const { vendor, isStream } = understand(request.url ?? '', body)
    const [, play = ''] = (request.url ?? '').split('/')
    Object.assign(state, { sentBytes: 0, isClosed: false })
    response.on('error', () => {}).on('close', () => (state.isClosed = true))
    response.setHeader('content-type', isStream ? streams[vendor].contentType : 'application/json')
    plays[play]?.(response, vendor)
  })
})
server.listen(0, '127.0.0.1', () =>
  tell({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }),
)
process.on('message', () => tell(state))
process.on('disconnect', () => process.exit())

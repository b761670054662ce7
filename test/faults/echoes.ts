/** Responses, as raw bytes, that contain the API key of the request in every possible place. */
import { plainOf, streams } from './vendors.ts'
import type { Vendor } from './vendors.ts'

const crlf = '\r\n'

function response(
  status: string,
  headers: readonly string[],
  body: string,
  type = 'application/json',
): string {
  const all = [`content-type: ${type}`, `content-length: ${Buffer.byteLength(body)}`, ...headers]
  return `HTTP/1.1 ${status}${crlf}${all.join(crlf)}${crlf}${crlf}${body}`
}

const errorBody = (text: string) =>
  JSON.stringify({
    type: 'error',
    error: {
      type: text,
      code: text,
      param: text,
      status: text,
      message: `Bad key ${text}`,
      details: [{ reason: text }],
    },
    message: `Bad key ${text}`,
    request_id: text,
    [text]: { nested: [text] },
  })

/** Makes the response to a request with this key. */
export type Echo = (key: string, vendor: Vendor, isStream: boolean) => string

/** A stream that begins correctly and continues with these bytes. */
const begun = (vendor: Vendor, rest: string, isWhole = true) => {
  const { contentType, head, text } = streams[vendor]
  const body = head + text('Hi') + rest
  const whole = response('200 OK', [], body, contentType)
  // The content-length is longer than the body, so the response breaks in the middle.
  return isWhole ? whole : whole.replace(/content-length: \d+/, 'content-length: 99999')
}
const inReply = (vendor: Vendor, isStream: boolean, streamed: string, plain: string, isWhole = true) =>
  isStream ? begun(vendor, streamed, isWhole) : response('200 OK', [], plain)
const event = (vendor: Vendor, data: string) => (vendor === 'ollama' ? `${data}\n` : `data: ${data}\n\n`)

export const echoes: Record<string, Echo> = {
  'the body of a 401': (key) => response('401 Unauthorized', [], errorBody(key)),
  'the body of a 400': (key) => response('400 Bad Request', [], errorBody(key)),
  'the body of a 500': (key) => response('500 Internal Server Error', [], errorBody(key)),
  'the body of a 429': (key) => response('429 Too Many Requests', ['retry-after: 0'], errorBody(key)),
  'a body of plain text': (key) => response('403 Forbidden', [], `No access for ${key}.`, 'text/plain'),
  'a body of HTML': (key) =>
    response('502 Bad Gateway', [], `<html><a href="?key=${key}">${key}</a></html>`, 'text/html'),
  'a body that is cut off': (key) =>
    response('401 Unauthorized', [], `{"error":{"message":"Bad key ${key}`).replace(
      /content-length: \d+/,
      'content-length: 9999',
    ),
  'a body of many kilobytes': (key) =>
    response('400 Bad Request', [], errorBody(`${'x'.repeat(1_950)}${key}${'y'.repeat(9_000)}`)),
  'the status text': (key) => response(`401 ${key}`, [], '{}'),
  'headers of an error': (key) =>
    response(
      '401 Unauthorized',
      [`x-echo: Bearer ${key}`, `www-authenticate: Bearer ${key}`, `${key}: 1`],
      '{}',
    ),
  'the headers that ask to wait': (key) =>
    response(
      '429 Too Many Requests',
      [`retry-after: ${key}`, `retry-after-ms: ${key}`, `x-should-retry: ${key}`],
      '{}',
    ),
  'the type and the encoding of a body': (key, vendor) =>
    response('200 OK', [`content-encoding: ${key}`], `${plainOf(vendor, 'Hi')} ${key}`, `text/${key}`),
  'a redirect to nowhere': (key) =>
    response('307 Temporary Redirect', [`location: http://127.0.0.1:9/?key=${key}`], ''),
  'a redirect to a host that is not there': (key) =>
    response('307 Temporary Redirect', [`location: http://${key}.invalid/`], ''),
  'a redirect that is no URL': (key) => response('307 Temporary Redirect', [`location: http://[${key}`], ''),
  'a redirect to another protocol': (key) =>
    response('308 Permanent Redirect', [`location: ftp://${key}/`], ''),
  'an upgrade': (key) =>
    `HTTP/1.1 101 Switching Protocols${crlf}connection: upgrade${crlf}upgrade: ${key}${crlf}${crlf}`,
  'a status line that is none': (key) => `${key}${crlf}${crlf}`,
  'a header line that is none': (key) => `HTTP/1.1 200 OK${crlf}bad header ${key}${crlf}${crlf}`,
  'a length of chunk that is none': (key) =>
    `HTTP/1.1 200 OK${crlf}transfer-encoding: chunked${crlf}${crlf}${key}${crlf}`,
  'a junk line': (key, vendor, isStream) =>
    inReply(vendor, isStream, event(vendor, `junk ${key} {`), `junk ${key} {`),
  'junk that the excerpt cuts': (key, vendor, isStream) =>
    inReply(vendor, isStream, event(vendor, `${'j'.repeat(100)}${key}`), `${'j'.repeat(100)}${key}`),
  'a line beside the stream': (key, vendor, isStream) => inReply(vendor, isStream, `${key}\n\n`, `"${key}"`),
  'an error event': (key, vendor, isStream) =>
    inReply(
      vendor,
      isStream,
      streams[vendor].error(`Bad key ${key}`),
      JSON.stringify({ error: { message: key } }),
    ),
  'an error event with the key everywhere': (key, vendor, isStream) =>
    inReply(vendor, isStream, event(vendor, errorBody(key)), errorBody(key)),
  'an event of an unknown shape': (key, vendor, isStream) =>
    inReply(
      vendor,
      isStream,
      event(
        vendor,
        JSON.stringify({ type: key, choices: key, delta: key, candidates: key, message: key, [key]: key }),
      ),
      JSON.stringify({ choices: key, content: key, candidates: key, message: key }),
    ),
  'an event that is cut off': (key, vendor, isStream) =>
    inReply(vendor, isStream, `data: {"${key}": "${key}`, `{"${key}": "${key}`, false),
  'a reply with fields of its own': (key, vendor, isStream) =>
    isStream
      ? begun(vendor, streams[vendor].tail.replaceAll('}\n', `,"echo":"${key}","${key}":1}\n`))
      : response('200 OK', [], plainOf(vendor, 'Hi').replace(/\}$/, `,"echo":"${key}","${key}":1}`)),
  'the id, the model and the end of a reply': (key, vendor, isStream) => {
    const { contentType, head, text, tail } = streams[vendor]
    const named = (body: string) =>
      body
        .replaceAll(/"(id|model)":"[^"]*"/g, `"$1":"${key}"`)
        .replaceAll(/"(finish_reason|finishReason|stop_reason|done_reason)":"\w+"/g, `"$1":"${key}"`)
    // Gemini repeats its id and its model in every event.
    const body = named(head + text('Hi') + tail).replaceAll(
      '{"candidates"',
      `{"responseId":"${key}","modelVersion":"${key}","candidates"`,
    )
    return isStream
      ? response('200 OK', [], body, contentType)
      : response('200 OK', [], named(plainOf(vendor, 'Hi')))
  },
}

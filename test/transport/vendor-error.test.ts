import assert from 'node:assert/strict'
import { test } from 'vitest'
import { vendorError } from '../../src/transport/vendor-error.ts'
import { readVendorError, parseRetryAfter } from '../../src/transport/read-vendor-error.ts'

const now = Date.parse('2026-01-01T00:00:00Z')

for (const [headers, expected] of [
  [{ 'retry-after': '2' }, 2_000],
  [{ 'retry-after': '0.5' }, 500],
  [{ 'retry-after': '0' }, 0],
  [{ 'retry-after': '-1' }, undefined],
  [{ 'retry-after-ms': '-1' }, undefined],
  [{ 'retry-after': '5, 5' }, 5_000],
  [{ 'retry-after': 'NaN' }, undefined],
  [{ 'retry-after': 'soon' }, undefined],
  [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Thu, 01 Jan 2015 00:00:30 GMT' }, 0],
  [{ 'retry-after': 'Thu, 01 Jan 2026 01:00:30 GMT', date: 'Thu, 01 Jan 2026 01:00:00 GMT' }, 30_000],
  [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT', date: 'Thu, 01 Jan 2026 00:00:01 GMT' }, 30_000],
  [{ 'retry-after-ms': '1500', 'retry-after': '9' }, 1_500],
  [{}, undefined],
] as const) {
  test(`retry headers ${JSON.stringify(headers)} ask for ${expected} ms`, () => {
    assert.equal(parseRetryAfter(new Headers(headers as Record<string, string>), now), expected)
  })
}

/** One cause, as each vendor puts it: status and body. */
const causes: [code: string, isRetryable: boolean, status: number | undefined, body: unknown][] = [
  [
    'authentication',
    false,
    401,
    { error: { code: 'invalid_api_key', type: 'invalid_request_error', message: 'no' } },
  ],
  ['authentication', false, 401, { type: 'error', error: { type: 'authentication_error', message: 'no' } }],
  [
    'authentication',
    false,
    400,
    {
      error: {
        code: 400,
        status: 'INVALID_ARGUMENT',
        message: 'no',
        details: [{ reason: 'API_KEY_INVALID' }],
      },
    },
  ],
  ['authentication', false, 401, { message: 'invalid api token' }],
  ['permission', false, 403, { error: { type: 'permission_error', message: 'no' } }],
  ['permission', false, 403, { error: { status: 'PERMISSION_DENIED', message: 'no' } }],
  [
    'model_not_found',
    false,
    404,
    { error: { code: 'model_not_found', type: 'invalid_request_error', message: 'no' } },
  ],
  ['model_not_found', false, 404, { error: "model 'x' not found" }],
  ['model_not_found', false, 404, { error: { type: 'not_found_error', message: 'no' } }],
  ['invalid_request', false, 400, { error: { type: 'invalid_request_error', message: 'no' } }],
  ['invalid_request', false, 422, { detail: [{ msg: 'field required' }] }],
  ['context_length_exceeded', false, 400, { error: { code: 'context_length_exceeded', message: 'long' } }],
  ['rate_limited', true, 429, { message: 'slow' }],
  ['rate_limited', true, 429, { error: { type: 'rate_limit_error', message: 'slow' } }],
  ['rate_limited', true, 429, { error: { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'slow' } }],
  [
    'rate_limited',
    false,
    429,
    { error: { code: 'insufficient_quota', type: 'insufficient_quota', message: 'pay' } },
  ],
  ['overloaded', true, 529, { error: { type: 'overloaded_error', message: 'busy' } }],
  ['overloaded', true, 503, { error: { code: 503, status: 'UNAVAILABLE', message: 'busy' } }],
  ['overloaded', true, 503, 'Service Unavailable'],
  ['overloaded', true, undefined, { type: 'error', error: { type: 'overloaded_error', message: 'busy' } }],
  ['overloaded', true, undefined, { error: { code: 503, message: 'busy' } }],
  ['server_error', true, 500, { error: { type: 'api_error', message: 'oops' } }],
  ['server_error', true, 502, '<html>Bad Gateway</html>'],
  ['server_error', true, undefined, { error: 'llama runner process no longer running' }],
  ['server_error', false, 501, {}],
  ['timeout', true, 408, {}],
]

for (const [code, isRetryable, status, body] of causes) {
  test(`${status ?? 'an event'} with ${JSON.stringify(body).slice(0, 90)} is ${code}`, () => {
    const error = vendorError(readVendorError(body, status), { provider: 'v' })
    assert.equal(error.code, code)
    assert.equal(error.isRetryable, isRetryable)
    if (status) assert.equal(error.status, status)
  })
}

test('x-should-retry rules over the status', () => {
  const never = readVendorError({}, 500, new Headers({ 'x-should-retry': 'false' }))
  const always = readVendorError({}, 400, new Headers({ 'x-should-retry': 'true' }))
  assert.equal(vendorError(never).isRetryable, false)
  assert.equal(vendorError(always).isRetryable, true)
})

test("Gemini's RetryInfo is a wait like any other", () => {
  const body = { error: { code: 429, status: 'RESOURCE_EXHAUSTED', details: [{ retryDelay: '34.5s' }] } }
  assert.equal(readVendorError(body, 429).retryAfterMs, 34_500)
})

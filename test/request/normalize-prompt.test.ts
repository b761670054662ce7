import assert from 'node:assert/strict'
import { isConvokeError } from 'convoke'
import type { Message, Prompt, Warning } from 'convoke'
import { test } from 'vitest'
import { normalizePrompt } from '../../src/request/normalize-prompt.ts'

const png = Buffer.from('iVBORw0KGgoAAAANSUhEUg==', 'base64')

function read(prompt: Prompt, options: { system?: string; messages?: Message[] } = {}) {
  const warnings: Warning[] = []
  return { ...normalizePrompt(prompt, options, (warning) => warnings.push(warning)), warnings }
}

function content(prompt: Prompt) {
  return read(prompt).messages[0]?.content
}

test('a text, a message and a list of messages are all prompts', () => {
  const parts = [{ type: 'text', text: 'Hi' }]
  assert.deepEqual(content('Hi'), parts)
  assert.deepEqual(content({ role: 'user', content: 'Hi' }), parts)
  assert.deepEqual(content([{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }]), parts)
})

test('the prompt stands behind the messages so far', () => {
  const { messages } = read('Now', { messages: [{ role: 'user', content: 'Before' }] })
  assert.deepEqual(
    messages.map(({ content: [part] }) => part),
    [
      { type: 'text', text: 'Before' },
      { type: 'text', text: 'Now' },
    ],
  )
})

test('system texts are gathered; one from mid-conversation is told of', () => {
  const { system, warnings } = read(
    [
      { role: 'system', content: 'B' },
      { role: 'user', content: 'Hi' },
      { role: 'system', content: 'C' },
    ],
    { system: 'A' },
  )
  assert.equal(system, 'A\n\nB\n\nC')
  assert.equal(warnings.length, 1)
})

test('pictures are taken as URL, data URL, base64 and bytes, their kind found from the bytes', () => {
  const image = (source: string | URL | Uint8Array) =>
    content({ role: 'user', content: [{ type: 'image', image: source }] })?.[0]
  const base64 = png.toString('base64')
  const known = { type: 'image', mediaType: 'image/png', base64 }
  assert.deepEqual(image(png), known)
  assert.deepEqual(image(new Uint8Array(png)), known)
  assert.deepEqual(image(base64), known)
  assert.deepEqual(image(`data:image/png;base64,${base64}`), known)
  assert.deepEqual(image('data:image/svg+xml,%3Csvg%2F%3E'), {
    type: 'image',
    mediaType: 'image/svg+xml',
    base64: Buffer.from('<svg/>').toString('base64'),
  })
  assert.deepEqual(image(new URL('https://example.com/a.png')), {
    type: 'image',
    mediaType: 'image/png',
    url: 'https://example.com/a.png',
  })
})

test('tool results find the name of their call, in either form', () => {
  const call: Message = {
    role: 'assistant',
    content: '',
    toolCalls: [{ id: 't1', name: 'clock', arguments: {} }],
  }
  const wanted = [{ type: 'tool-result', toolCallId: 't1', name: 'clock', result: { at: 5 } }]
  for (const result of [
    { role: 'tool', toolCallId: 't1', content: { at: 5 } },
    { role: 'tool', content: [{ type: 'tool-result', toolCallId: 't1', result: { at: 5 } }] },
  ] as Message[]) {
    assert.deepEqual(
      read([{ role: 'user', content: 'Time?' }, call, result]).messages.at(-1)?.content,
      wanted,
    )
  }
})

test("a turn that only calls tools may have null for its text, as in OpenAI's own form", () => {
  const turn = { role: 'assistant', content: null, toolCalls: [{ id: 't1', name: 'clock', arguments: {} }] }
  const { messages } = read([{ role: 'user', content: 'Time?' }, turn as unknown as Message])
  assert.deepEqual(messages[1]?.content, [{ type: 'tool-call', id: 't1', name: 'clock', arguments: {} }])
})

const circular: Record<string, unknown> = {}
circular['self'] = circular

for (const [name, prompt, remedy] of [
  ['an empty text', '', /empty/],
  ['no messages', [], /empty/],
  ['an unknown role', { role: 'developer', content: 'Hi' }, /"developer".*Use system, user/],
  ['no message at all', [null], /role undefined/],
  ['a user message without content', { role: 'user', content: [] }, /no content/],
  ['an unknown part', { role: 'user', content: [{ type: 'video' }] }, /"video".*Use text, image or file/],
  ['a number where text belongs', { role: 'user', content: [{ type: 'text', text: 5 }] }, /number/],
  [
    'a file path for a picture',
    { role: 'user', content: [{ type: 'image', image: './a b.png' }] },
    /Load the file/,
  ],
  ['a file without its kind', { role: 'user', content: [{ type: 'file', file: 'AAAA' }] }, /mediaType/],
  ['no part at all', { role: 'user', content: [null] }, /type null/],
  [
    'a data URL with a broken escape',
    { role: 'user', content: [{ type: 'image', image: 'data:a/b,%E0%A' }] },
    /escape/,
  ],
  [
    'arguments that are no JSON',
    { role: 'assistant', content: '', toolCalls: [{ id: 'x', name: 'f', arguments: circular }] },
    /JSON cannot hold the arguments of the tool call f/,
  ],
  ['a result without its call', { role: 'tool', toolCallId: 'x', content: 'y' }, /"x" answers no tool call/],
] as [string, unknown, RegExp][]) {
  test(`${name} is refused, saying what to do`, () => {
    assert.throws(
      () => read(prompt as Prompt),
      (error) => isConvokeError(error) && error.code === 'invalid_request' && remedy.test(error.message),
    )
  })
}

test('a prompt that is no text, no message and no list is invalid_request, and no field leads past the checks', () => {
  for (const prompt of [5, true, Symbol('x'), { normalized: [{ role: 'bogus' }] }, { messages: [] }]) {
    assert.throws(() => normalizePrompt(prompt as never, {}, () => {}), { code: 'invalid_request' })
  }
})

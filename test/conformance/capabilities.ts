/** Capabilities that only some vendors have: reasoning, tools, a list of models. */
import assert from 'node:assert/strict'
import type { StreamChunk } from 'convoke'
import type { ScriptedReply } from 'convoke/simulator'
import { all, failure, plain, play, quick } from './stage.ts'
import type { Subject } from './stage.ts'

export async function reasoning(subject: Subject): Promise<void> {
  const reply = { reasoning: 'First this, then that.', text: plain }
  await play(subject, { reply }, async ({ llm }) => {
    const stream = llm.stream('Hi')
    const chunks = await all(stream)
    assert.equal(chunks.map(({ content }) => content).join(''), plain)
    for (const whole of [await stream.response, await llm.agenerate('Hi')]) {
      assert.equal(whole.reasoning, reply.reasoning)
      assert.equal(whole.content, plain)
      assert.equal(whole.message.content[0]?.type, 'reasoning')
    }
  })
}

export async function tools(subject: Subject): Promise<void> {
  const toolCalls = [
    { name: 'weather', arguments: { city: 'Oslo "centre"', days: [1, 2], deep: { a: null } } },
    { name: 'weather', arguments: { city: '京都 😀' } },
    { name: 'clock', arguments: {} },
  ]
  const options = { tools: toolCalls.slice(1).map(({ name }) => ({ name, description: name })) }
  await play(subject, { reply: { toolCalls } }, async ({ llm }) => {
    const stream = llm.stream('Hi', options)
    const chunks = await all(stream)
    for (const whole of [await stream.response, await llm.agenerate('Hi', options)]) {
      assert.deepEqual(
        whole.toolCalls.map(({ name, arguments: input }) => ({ name, arguments: input })),
        toolCalls,
      )
      assert.equal(new Set(whole.toolCalls.map(({ id }) => id)).size, 3)
      assert.equal(whole.finishReason, 'tool-calls')
    }
    for (const { id, name } of (await stream.response).toolCalls) {
      const steps = chunks.filter((chunk) => idOf(chunk) === id).map(({ type }) => type)
      assert.equal(steps[0], 'tool-call-start', name)
      assert.equal(steps.at(-1), 'tool-call', name)
    }
  })
}

function idOf(chunk: StreamChunk): string | undefined {
  return chunk.type === 'tool-call' ? chunk.toolCall.id : 'id' in chunk ? chunk.id : undefined
}

export async function cutArguments(subject: Subject): Promise<void> {
  const reply: ScriptedReply = {
    toolCalls: [{ name: 'weather', arguments: '{"city":"Os' }],
    finishReason: 'length',
  }
  await play(subject, { reply }, async ({ llm }) => {
    const error = await failure(llm.stream('Hi', { ...quick, tools: [{ name: 'weather' }] }).response)
    assert.equal(error.code, 'malformed_response')
    assert.deepEqual(error.partial?.toolCalls, [])
  })
}

export async function models(subject: Subject): Promise<void> {
  await play(subject, { reply: { text: plain } }, async ({ llm }) => {
    const list = await llm.listModels()
    assert.ok(list.length > 0)
    for (const { id } of list) assert.ok(id.length > 0)
  })
}

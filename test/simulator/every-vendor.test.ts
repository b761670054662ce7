/** Behaviour that is the same for all five vendors, as their own SDKs see it. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { collect, MODEL, outcomes, rejection, statusOf, withEach } from '../support/simulator-clients.ts'

/** Texts that have broken parsers of streams. */
const HARD_TEXT =
  'data: [DONE]\n\nevent: x\r\n: \u2028\u2029 \u0000 \u0007 "\\ \ufeff 👩‍👩‍👧 𝒳 é e\u0301 </script> {"a": [1]}\ndata:\n\n'

test('every vendor gives a text byte for byte, as JSON and as a stream', async () => {
  for (const chunkSize of [1, 3, 4, 1000]) {
    await withEach({ reply: HARD_TEXT, chunkSize }, async (client) => {
      assert.equal(await client.ask('Hi'), HARD_TEXT)
      const whole = (await collect(client.stream('Hi'))).join('')
      // cohere-ai ends a stream at any [DONE] and drops the rest, although the bytes were right.
      const isEaten = client.name === 'cohere' && chunkSize > 4
      assert.equal(whole, isEaten ? '' : HARD_TEXT)
    })
  }
})

test('every vendor sends exactly the chunks of a script, empty ones and single surrogates included', async () => {
  const chunks = ['a', '', ' b\n', '🙂', '\ud83d', '\ude42', 'c']
  await withEach({ reply: { chunks } }, async (client) => {
    const pieces = await collect(client.stream('Hi'))
    assert.deepEqual(
      pieces.filter((piece) => piece !== ''),
      chunks.filter((chunk) => chunk !== ''),
    )
    assert.equal(await client.ask('Hi'), chunks.join(''))
  })
})

test('a text is cut into pieces of chunkSize characters, and never inside a character', async () => {
  await withEach({ reply: '🙂🙃é🙂a🙃b', chunkSize: 3 }, async (client) => {
    const pieces = (await collect(client.stream('Hi'))).filter((piece) => piece !== '')
    assert.deepEqual(pieces, ['🙂🙃é', '🙂a🙃', 'b'], client.name)
  })
})

test('without a script every vendor names the model and repeats the prompt', async () => {
  await withEach({}, async (client) => {
    assert.equal(await client.ask('What now?'), `Hello! I am ${MODEL}, simulated. You said: What now?`)
    assert.match((await collect(client.stream('And now?'))).join(''), /You said: And now\?$/)
  })
})

test('every vendor lists its own models, or the given ones', async () => {
  await withEach({}, async (client) => {
    const models = await client.models()
    assert.ok(models.length > 1, String(models))
  })
  await withEach({ models: ['one:1', 'two:2'] }, async (client) => {
    const prefix = client.name.startsWith('gen') || client.name === 'gemini' ? 'models/' : ''
    if (client.name === 'gemini') return // this SDK cannot list models
    assert.deepEqual(await client.models(), [`${prefix}one:1`, `${prefix}two:2`])
  })
})

test('a wrong key gets the status 401 of every vendor, and the right one a reply', async () => {
  await withEach(
    { apiKey: 'right' },
    async (client) => {
      assert.match(await client.ask('Hi'), /You said: Hi/)
    },
    'right',
  )
  await withEach(
    { apiKey: 'right' },
    async (client, simulator) => {
      const error = await rejection(client.ask('Hi'))
      assert.equal(statusOf(error), 401, `${client.name}: ${String(error)}`)
      assert.deepEqual(outcomes(simulator), ['error'])
    },
    'wrong',
  )
})

test("strictModels answers a model that is not listed with the vendor's own 404", async () => {
  await withEach({ strictModels: true }, async (client) => {
    const error = await rejection(client.ask('Hi'))
    assert.equal(statusOf(error), 404, client.name)
    assert.match(`${String(error)} ${JSON.stringify(error)}`, new RegExp(MODEL), client.name)
  })
  await withEach({ strictModels: true, models: [MODEL] }, async (client) => {
    assert.match(await client.ask('Hi'), /You said: Hi/)
  })
})

test('a reply function that throws gives status 500 with its message, and the simulator goes on', async () => {
  const reply = ({ prompt }: { prompt: string }) => {
    if (prompt === 'fail') throw new Error('my script is broken')
    return 'fine'
  }
  await withEach({ reply }, async (client) => {
    const error = await rejection(client.ask('fail'))
    assert.equal(statusOf(error), 500, client.name)
    assert.match(`${String(error)} ${JSON.stringify(error)}`, /my script is broken/, client.name)
    assert.equal(await client.ask('Hi'), 'fine')
  })
})

test('leaving a stream that the SDK closes is recorded', async () => {
  await withEach({ reply: 'x'.repeat(4000), paceMs: 20 }, async (client, simulator) => {
    // These SDKs do not close the connection when their loop is left.
    if (['gemini', 'genai', 'ollama'].includes(client.name)) return
    const iterator = client.stream('Hi')[Symbol.asyncIterator]()
    await iterator.next()
    await iterator.return?.()
    while (simulator.requests[0]?.outcome === 'open') await sleep(5)
    const [record] = simulator.requests
    assert.equal(record?.outcome, 'client-closed', client.name)
    assert.ok(record.eventsSent < 100, client.name)
    assert.equal(simulator.openStreams, 0)
  })
})

test('the events that open a stream come with the first piece of its reply at any pace', async () => {
  await withEach({ reply: 'Hello there', paceMs: 3_600_000 }, async (client) => {
    for await (const piece of client.stream('Hi')) {
      if (piece === '') continue
      assert.equal(piece, 'Hell', client.name)
      return
    }
    assert.fail(`${client.name} gave no text`)
  })
})

test('requests of all vendors are parsed into the same form', async () => {
  await withEach({}, async (client, simulator) => {
    await client.ask('Ünï 🙂')
    await client.ask('Ünï 🙂')
    await collect(client.stream('Other'))
    const [first, second, third] = simulator.requests
    assert.equal(first?.prompt, 'Ünï 🙂')
    assert.deepEqual(first.messages, [{ role: 'user', text: 'Ünï 🙂' }])
    assert.equal(first.model, MODEL)
    assert.deepEqual([first.attempt, second?.attempt, third?.attempt], [1, 2, 1])
    assert.deepEqual([first.number, second?.number, third?.number], [1, 2, 3])
    assert.deepEqual([first.stream, third?.stream], [false, true])
    assert.deepEqual([first.outcome, first.status, first.eventsSent], ['complete', 200, 1])
    assert.ok((first.endedAt ?? 0) >= first.startedAt)
    assert.ok((third?.eventsSent ?? 0) > 5)
  })
})

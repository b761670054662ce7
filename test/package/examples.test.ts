/** Every example runs to its end against the simulator, and is short; the demo ends well and soon. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'vitest'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const folder = join(root, 'examples')
const options = ['--conditions=convoke-source', '--unhandled-rejections=strict']
const examples = readdirSync(folder).filter((file) => file.endsWith('.ts'))

/** What each prints, in part: an example that prints nothing of use shows nothing. */
const shows: Record<string, RegExp> = {
  'blocking.ts': /Paris\.\nOnce upon a time.*it said so\.\nParis\.\nAlice\.\nblocking_unavailable/,
  'cancel.ts': /cancelled after about \d+ tokens\nleft the loop; calls in flight: 0/,
  'consensus.ts':
    /gpt: Paris\.\nclaude: Paris\.\ngemini: Paris\.\n(\w+ votes yes\n){2,3}agreed: yes \(\d+ %\)\n[23] voted, 0 failed/,
  'combined.ts':
    /openai: Paris\.\nfailed before: lmstudio, connection\nOnce upon[^]*call 2: anthropic\ncall 3: openai\nfrom a model\nfrom the cache, for 0/,
  'conversation.ts': /Paris\.\nOnce upon a time/,
  'errors.ts': /The stream broke after \d+ characters\.\n\[openai\] The prompt is empty/,
  'existing-client.ts': /Hello!/,
  'first-call.ts': /Paris\.\n\d+ tokens, \d+ ms, ended by stop/,
  'local-server.ts': /lmstudio: Hello!.*\nmy-server: Hello!/,
  'many-vendors.ts':
    /openai .*: Paris\.\nanthropic .*: Paris\.\ngemini .*: Paris\.\ncohere .*: Paris\.\nollama .*: Paris\./,
  'ollama-models.ts': /100 %[^]*success\n.*tinyllama/,
  'own-provider.ts': /Polly! wants! a! cracker!/,
  'pictures.ts':
    /openai.*: A single red dot\.\nanthropic.*: A single red dot\.\ngemini.*: A single red dot\./,
  'reasoning.ts': /Nine\./,
  'session-branches.ts':
    /session: 4 messages\nbranch: 4 messages, two of them shared\nfound: user: What is the \*\*capital\*\* of France\?/,
  'session-crash.ts': /killed; kept: interrupted, most of the text\nresumed: stop, \d{4} characters/,
  'session.ts': /A new conversation\.\nAlice\. \(\d+ tokens of input\)/,
  'simulator.ts': /You said: Hi\n\/v1\/chat\/completions 503, \/v1\/chat\/completions 200/,
  'structured-output.ts': /Paris has 2,103,000 inhabitants\./,
  'streaming.ts': /it said so\.\n\d+ tokens, ended by stop/,
  'tool-call.ts': /weather\({"city":"Oslo"}\)\nIt is 4 degrees/,
}

test('every example is named here, and under 40 lines', () => {
  assert.deepEqual(Object.keys(shows).sort(), [...examples].sort())
  for (const file of examples) {
    const lines = readFileSync(join(folder, file), 'utf8').split('\n').length - 1
    assert.ok(lines < 40, `${file} has ${lines} lines`)
  }
})

for (const part of [0, 1, 2]) {
  const names = examples.filter((_, at) => at % 3 === part)
  test(`examples run and show what they say: ${names.join(', ')}`, async () => {
    // In two halves side by side, since most of them wait for a reply that takes its time or for a process.
    const halves = [0, 1].map(async (half) => {
      const given = names.filter((_, at) => at % 2 === half)
      const { stdout } = await run(process.execPath, [...options, join(folder, 'run/main.ts'), ...given], {
        cwd: root,
      })
      return stdout
    })
    const stdout = (await Promise.all(halves)).join('\n')
    for (const file of names) {
      const output = stdout.split(/^# /m).find((shown) => shown.startsWith(file)) ?? ''
      assert.match(output, shows[file] ?? /^$/, file)
    }
  })
}

test('the demo shows its five acts and the table, in plain text', async () => {
  const { stdout } = await run(process.execPath, [...options, join(folder, 'demo/main.ts')], { cwd: root })
  assert.ok(!stdout.includes('\u001b'))
  assert.match(stdout, /answered on attempt 2, after 1\.\d s/)
  assert.match(stdout, /caught as stream_truncated/)
  assert.match(stdout, /left after 5 pieces; the vendor noticed it \d+ ms later/)
  for (const name of ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']) {
    assert.match(stdout, new RegExp(`^${name} .* \\d+/\\d+ .*stop$`, 'm'))
  }
})

test('npm run ask shows every member and the verdict in plain text, without keys by five simulated models', async () => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.endsWith('_API_KEY')))
  const ask = (...words: string[]) =>
    run(process.execPath, [...options, join(folder, 'ask/main.ts'), ...words], {
      cwd: root,
      env: { ...env, OLLAMA_HOST: 'http://127.0.0.1:9' },
    })
  const { stdout } = await ask('Is tea better?', '--choices', 'yes,no')
  assert.ok(!stdout.includes('\u001b'))
  assert.match(stdout, /No key is set[^]*Is tea better\?/)
  assert.match(stdout, /^openai\/gpt-4o-mini +✓ \d+\.\d s yes$/m)
  assert.match(stdout, /^AGREED {2}█+░+ .*60 % agree\nyes$/m)
  const judged = await ask('Is tea better?')
  assert.match(judged.stdout, /The judge \(gpt-4o-mini\) reads the answers[^]*AGREED[^]*5 of 5 voted/)
  await assert.rejects(ask('Hi', '--strategy', 'dice'), { code: 2, stdout: /strategies are majority/ })
})

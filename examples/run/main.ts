/**
 * Runs the examples against the simulator: `npm run example` runs all, `npm run example -- streaming` runs one.
 * With `--live` they call the real vendors, with the keys in the environment.
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startSimulator } from 'convoke/simulator'
import { reply } from './replies.ts'

const here = new URL('../', import.meta.url)
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const files = readdirSync(here).filter((file) => file.endsWith('.ts'))
const wanted = names.length ? names.map((name) => `${name.replace(/\.ts$/, '')}.ts`) : files

await using simulator = await startSimulator({ reply })
const simulated = {
  OPENAI_API_KEY: 'simulated',
  OPENAI_BASE_URL: simulator.baseURL('openai'),
  ANTHROPIC_API_KEY: 'simulated',
  ANTHROPIC_BASE_URL: simulator.baseURL('anthropic'),
  GEMINI_API_KEY: 'simulated',
  GOOGLE_GEMINI_BASE_URL: simulator.baseURL('gemini'),
  CO_API_KEY: 'simulated',
  CO_API_URL: simulator.baseURL('cohere'),
  OLLAMA_HOST: simulator.baseURL('ollama'),
}
const isLive = process.argv.includes('--live')
const chats = await mkdtemp(join(tmpdir(), 'convoke-examples-'))

for (const file of wanted) {
  console.log(`\n# ${file}`)
  const env = isLive ? process.env : { ...process.env, ...simulated, CHAT_DB: join(chats, `${file}.db`) }
  const child = spawn(process.execPath, [...process.execArgv, new URL(file, here).pathname], {
    env,
    stdio: 'inherit',
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code !== 0) throw new Error(`${file} ended with exit code ${String(code)}.`)
}
await rm(chats, { recursive: true })

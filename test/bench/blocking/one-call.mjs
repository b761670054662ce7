/** What a script that blocks by spawnSync has in the other process: one call, and its text as the output. */
import process from 'node:process'
import { createCaller } from './openai-sdk.mjs'

const [baseURL, model, prompt] = process.argv.slice(2)
process.stdout.write(await createCaller(baseURL, model).ask(prompt), () => process.exit())

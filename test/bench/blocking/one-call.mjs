/** The child process of the spawnSync caller: makes one call, and prints its text. */
import process from 'node:process'
import { createCaller } from './openai-sdk.mjs'

const [baseURL, model, prompt] = process.argv.slice(2)
process.stdout.write(await createCaller(baseURL, model).ask(prompt), () => process.exit())

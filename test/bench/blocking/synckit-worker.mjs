/** What a script that blocks by synckit has in its worker: one client, and a call by it. */
import { runAsWorker } from 'synckit'
import { createCaller } from './openai-sdk.mjs'

let caller

runAsWorker((baseURL, model, prompt) => {
  caller ??= createCaller(baseURL, model)
  return caller.ask(prompt)
})

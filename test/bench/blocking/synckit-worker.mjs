/** The worker of the synckit caller: makes calls with one client. */
import { runAsWorker } from 'synckit'
import { createCaller } from './openai-sdk.mjs'

let caller

runAsWorker((baseURL, model, prompt) => {
  caller ??= createCaller(baseURL, model)
  return caller.ask(prompt)
})

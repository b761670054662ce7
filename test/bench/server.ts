/** The simulator in a process of its own, so that the client's CPU time excludes it. Started by measure.ts. */
import { importSimulator } from './built.ts'
import { replyChunks, scenarios, warmUpPrompt } from './scenarios.ts'
import type { ScenarioName, Vendor } from './scenarios.ts'
import { answerOrders } from './server-orders.ts'

const [vendor, name] = process.argv.slice(2) as [Vendor, ScenarioName]
const { chunks, paceMs, warmUp } = scenarios[name]
const full = { chunks: replyChunks(chunks), paceMs }
const warming = { chunks: replyChunks(warmUp.chunks), paceMs: 0 }

const { startSimulator } = await importSimulator()
const simulator = await startSimulator({
  reply: (request) => (request.prompt === warmUpPrompt ? warming : full),
})
answerOrders(simulator.baseURL(vendor))

/**
 * The simulator in a process of its own. It is warmed up, so that a client's first call is not also the simulator's.
 */
import { importSimulator } from '../built.ts'
import { replyChunks, warmUpPrompt } from '../scenarios.ts'
import type { Vendor } from '../scenarios.ts'
import { answerOrders } from '../server-orders.ts'
import { loadSubject } from '../subjects/subject.ts'
import { loads } from './loads.ts'
import type { LoadName } from './loads.ts'

const [vendor, name] = process.argv.slice(2) as [Vendor, LoadName]
const { latencyMs, ...load } = loads[name]
const chunks = replyChunks(load.chunks)

const { startSimulator } = await importSimulator()
const simulator = await startSimulator({
  reply: ({ prompt }) => ({ chunks, latencyMs: prompt === warmUpPrompt ? 0 : latencyMs }),
})
const baseURL = simulator.baseURL(vendor)
const subject = await loadSubject({ subject: 'bare', vendor, baseURL })
for (let made = 0; made < 200; made++) await subject.ask(warmUpPrompt)
answerOrders(baseURL)

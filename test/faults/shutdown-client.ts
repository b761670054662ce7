/** A process that gets a signal to end while a thousand writes wait. It reports the outcome of each write. */
import { randomUUID } from 'node:crypto'
import { sqliteStore } from 'convoke'

const [path = '', way = 'close'] = process.argv.slice(2)
const store = sqliteStore({ path })
await store.open({ id: 's' })
let acknowledged = 0
let refused = 0
const text = 'word '.repeat(100)
const writes = Array.from({ length: 1_000 }, () => {
  const message = { id: randomUUID(), role: 'user' as const, content: [{ type: 'text' as const, text }] }
  return store.addMessages('s', [message]).then(
    () => {
      acknowledged++
      process.send?.({ kept: message.id })
    },
    () => refused++,
  )
})
process.on('SIGTERM', () => {
  void store
    .close()
    .then(() => Promise.all(writes))
    .then(() => process.send?.({ acknowledged, refused }, () => process.exit()))
})
if (way === 'die') process.removeAllListeners('SIGTERM')
process.send?.({ isReady: true })

/**
 * Spreads the start of many requests over turns of the event loop. A thousand calls made at once would otherwise go
 * through their SDKs in step, and none would be on the wire before all are: the first answer would wait for the last
 * request, and the event loop would stand still for all of them.
 */

/** Some 3 ms of work. */
const requestsPerTurn = 16

let begun = 0

let waiting: (() => void)[] = []

/**
 * Undefined while this turn of the event loop has room, as it has for a few requests. Otherwise a promise that settles in
 * a later turn, in the order of the calls.
 */
export function nextStart(): Promise<void> | undefined {
  if (begun < requestsPerTurn && waiting.length === 0) {
    if (begun++ === 0) setImmediate(nextTurn)
    return undefined
  }
  return new Promise((resolve) => waiting.push(resolve))
}

function nextTurn(): void {
  const next = waiting.slice(0, requestsPerTurn)
  waiting = waiting.slice(requestsPerTurn)
  begun = next.length
  if (begun > 0) setImmediate(nextTurn)
  for (const start of next) start()
}

import type { HistoryMessage } from '../../src/session/history.ts'

/** Histories of more than 400,000 tokens: one of many results of tools, one of a single long message. */
export function longHistories(): HistoryMessage[][] {
  const result = 'some words, '.repeat(500)
  const results = Array.from({ length: 400 }, (_, at): HistoryMessage => {
    const part = { type: 'tool-result' as const, toolCallId: 'c', name: 'clock', result }
    return { id: `result ${at}`, role: 'tool', content: [part] }
  })
  const text = result.repeat(400)
  const broken = { id: 'broken', role: 'assistant', status: 'interrupted' } as const
  return [results, [{ ...broken, content: [{ type: 'text', text }] }]]
}

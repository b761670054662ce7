/**
 * A thread that counts tokens. Merge tables are shared between the threads; each thread has its own cache of counts.
 */
import { setPriority } from 'node:os'
import { isMainThread } from 'node:worker_threads'
import { estimateTokenCount } from 'tokenx'
import { serializeError } from '../src/threads/serialize-error.ts'
import type { Answer } from '../src/threads/answer.ts'
import type { TokenizeTask, TokenizeValue } from '../src/tokens/protocol.ts'
import type { Encoding } from '../src/tokens/bpe/encodings.ts'
import { MergeTable } from '../src/tokens/bpe/merge-table.ts'
import { Tokenizer } from '../src/tokens/bpe/tokenizer.ts'
import { loadMergeTable } from '../src/tokens/bpe/vocabulary.ts'

// When all cores are busy, counting should wait for the event loop and not the other way round. Only Linux has a
// priority for each thread; elsewhere this would slow the whole process down.
if (process.platform === 'linux' && !isMainThread) setPriority(10)

const tokenizers = new Map<Encoding, Tokenizer>()

export default function tokenize(task: TokenizeTask): Answer<TokenizeValue> {
  try {
    return { isOk: true, value: answer(task) }
  } catch (error) {
    return { isOk: false, error: serializeError(error) }
  }
}

function answer({ vocabulary, table, texts }: TokenizeTask): TokenizeValue {
  if (vocabulary === 'estimate') {
    return { counts: texts.map((text) => (text === '' ? 0 : estimateTokenCount(text))) }
  }
  if (!table) return { counts: [], table: loadMergeTable(vocabulary).memory }
  let tokenizer = tokenizers.get(vocabulary)
  if (!tokenizer) {
    tokenizer = new Tokenizer(vocabulary, new MergeTable(table))
    tokenizers.set(vocabulary, tokenizer)
  }
  return { counts: texts.map((text) => tokenizer.count(text)) }
}

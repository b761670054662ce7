/** What crosses to the threads that count. */
import type { Encoding } from './bpe/encodings.ts'

/** Texts to count. Without texts, a task of a vocabulary builds its table, for all threads to share. */
export interface TokenizeTask {
  vocabulary: Vocabulary
  table?: SharedArrayBuffer
  texts: string[]
}

/** The counts of the task's texts, in their order: tokens themselves would stall the thread that reads them. */
export interface TokenizeValue {
  counts: number[]
  table?: SharedArrayBuffer
}

/** What counts: one of OpenAI's vocabularies, or the characters alone. */
export type Vocabulary = Encoding | 'estimate'

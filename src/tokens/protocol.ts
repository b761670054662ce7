/** The messages between the main thread and the threads that count tokens. */
import type { Encoding } from './bpe/encodings.ts'

/** A task: either texts to count, or no texts and no table, which asks to build the vocabulary's merge table. */
export interface TokenizeTask {
  vocabulary: Vocabulary
  /** The merge table, shared by all threads. Absent for an estimate, and in the task that builds it. */
  table?: SharedArrayBuffer
  texts: string[]
}

/** The answer to a task. It has counts only, because copying all tokens would stall the thread that receives them. */
export interface TokenizeValue {
  /** The tokens of each text, in the order of the texts. */
  counts: number[]
  /** The merge table that the task asked for. */
  table?: SharedArrayBuffer
}

/** How to count: with one of OpenAI's vocabularies, or by an estimate from the characters. */
export type Vocabulary = Encoding | 'estimate'

/** A keeper of messages: whom the loads are run on. */
import type { Durability, KeeperName } from './loads.ts'

export interface Said {
  role: 'user' | 'assistant'
  text: string
}

export interface Keeper {
  /** Conversations are made before the clock starts. */
  prepare(conversations: readonly string[]): Promise<void> | void
  /** Returns, or settles, when the messages are on disk, as far as the keeper's durability goes. */
  add(conversation: string, messages: readonly Said[]): Promise<unknown> | undefined
  /** Tokens of a text, by OpenAI's vocabulary. */
  countTokens?(text: string): Promise<number> | number
  /** Messages kept, in all: nobody is fast by losing some. */
  count(): Promise<number> | number
  close(): Promise<void> | void
}

/** The long session of `open`, in a file that was opened for it. */
export interface LongSession {
  /** Opens the session and reads its last messages; gives their sequences. */
  readLast(): Promise<number[]> | number[]
  close(): Promise<void> | void
}

export type OpenLong = (file: string) => LongSession

/** In `file`, which is not there yet. */
export type CreateKeeper = (file: string, durability: Durability) => Promise<Keeper> | Keeper

export async function createKeeper(name: KeeperName, file: string, durability: Durability): Promise<Keeper> {
  const module = name === 'batched' || name === 'inline' ? 'better-sqlite3' : name
  const { createKeeper } = (await import(`./${module}.ts`)) as { createKeeper: CreateKeeper }
  return createKeeper(file, durability)
}

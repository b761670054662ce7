/** A keeper: something that stores messages, on which the loads run. */
import type { Durability, KeeperName } from './loads.ts'

export interface Said {
  role: 'user' | 'assistant'
  text: string
}

export interface Keeper {
  /** Creates conversations, before the measurement. */
  prepare(conversations: readonly string[]): Promise<void> | void
  /** Returns, or resolves, when the messages are as safe as the keeper's durability makes them. */
  add(conversation: string, messages: readonly Said[]): Promise<unknown> | undefined
  /** The tokens of a text, counted with OpenAI's vocabulary. */
  countTokens?(text: string): Promise<number> | number
  /** The number of stored messages. It is checked, because a keeper must not be fast by losing some. */
  count(): Promise<number> | number
  close(): Promise<void> | void
}

/** A keeper of the long session in the load `open`. */
export interface LongSession {
  /** Opens the session and reads its last messages. Returns their sequence numbers. */
  readLast(): Promise<number[]> | number[]
  close(): Promise<void> | void
}

export type OpenLong = (file: string) => LongSession

/** Makes a keeper with a new file. */
export type CreateKeeper = (file: string, durability: Durability) => Promise<Keeper> | Keeper

export async function createKeeper(name: KeeperName, file: string, durability: Durability): Promise<Keeper> {
  const module = name === 'batched' || name === 'inline' ? 'better-sqlite3' : name
  const { createKeeper } = (await import(`./${module}.ts`)) as { createKeeper: CreateKeeper }
  return createKeeper(file, durability)
}

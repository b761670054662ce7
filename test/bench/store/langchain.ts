/** LangChain's history in a file: JSON that is written completely with every message, and never synced. */
import { readFileSync } from 'node:fs'
import type { CreateKeeper, Said } from './keeper.ts'

/** The part that is used here. Declared here, because the peers are not always installed. */
interface History {
  addMessage(message: object): Promise<void>
}
type Module = Record<string, new (given: unknown) => object>
/** The histories by user and session. */
type HistoryFile = Record<string, Record<string, { messages: unknown[] }>>

const load = (name: string) => import(name) as Promise<Module>

export const createKeeper: CreateKeeper = async (file) => {
  const { FileSystemChatMessageHistory } = await load('@langchain/community/stores/message/file_system')
  const { AIMessage, HumanMessage } = await load('@langchain/core/messages')
  if (!FileSystemChatMessageHistory || !AIMessage || !HumanMessage)
    throw new Error('LangChain has no history in a file')
  const add = async (sessionId: string, messages: readonly Said[]) => {
    const history = new FileSystemChatMessageHistory({ sessionId, filePath: file }) as History
    for (const { role, text } of messages)
      await history.addMessage(role === 'user' ? new HumanMessage(text) : new AIMessage(text))
  }
  return { prepare: () => undefined, add, count: () => countMessages(file), close: () => undefined }
}

function countMessages(file: string): number {
  const users = JSON.parse(readFileSync(file, 'utf8')) as HistoryFile
  const sessions = Object.values(users).flatMap((user) => Object.values(user))
  return sessions.reduce((sum, { messages }) => sum + messages.length, 0)
}

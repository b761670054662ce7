/** What every subject does: the same requests, and the text of every chunk read. */
import type { ClientTask } from '../client.ts'
import { vendors } from '../scenarios.ts'
import type { Vendor } from '../scenarios.ts'

export interface Subject {
  ask(prompt: string): Promise<string>
  /** A callback and no generator: a layer for each chunk would count for the subject. */
  stream(prompt: string, onText: (text: string) => void): Promise<void>
}

export type CreateSubject = (baseURL: string) => Promise<Subject>

/** Whom each speaks to. LangChain's Cohere speaks the API's first version, which the simulator does not. */
export const vendorsOf: Record<'ai' | 'langchain' | 'undici', readonly Vendor[]> = {
  ai: vendors,
  langchain: vendors.filter((vendor) => vendor !== 'cohere'),
  undici: ['openai'],
}

type SubjectModule = { subjects: Partial<Record<Vendor, CreateSubject>> }

export async function loadSubject(task: Omit<ClientTask, 'scenario'>): Promise<Subject> {
  const { subject, vendor, baseURL } = task
  const { subjects } = (await import(`./${subject}.ts`)) as SubjectModule
  const create = subjects[vendor]
  if (create === undefined) throw new Error(`${subject} has no ${vendor}`)
  return create(baseURL)
}

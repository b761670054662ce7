/** A subject. All subjects make the same requests, and read the text of every chunk. */
import type { ClientTask } from '../client.ts'
import { vendors } from '../scenarios.ts'
import type { Vendor } from '../scenarios.ts'

export interface Subject {
  ask(prompt: string): Promise<string>
  /**
   * Takes a callback instead of returning a generator, because a generator's cost for each chunk would be measured too.
   */
  stream(prompt: string, onText: (text: string) => void): Promise<void>
}

export type CreateSubject = (baseURL: string) => Promise<Subject>

/** The vendors of each subject. LangChain's Cohere uses version 1 of the API, which the simulator does not have. */
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

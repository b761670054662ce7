/**
 * What users write, and what the compiler must say to it. Compiled as it stands by every supported TypeScript against
 * the packed types (compilers.ts), so it uses nothing but the library and the language.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  balance,
  cached,
  consensus,
  ConvokeError,
  createLLM,
  createSession,
  fallback,
  fanOut,
  hedge,
  isConvokeError,
  majority,
  withDefaults,
} from 'convoke'
import type { GenerateOptions, GenerateResponse, LLM, ResponseStream, SessionResponse } from 'convoke'
import type { Ballot, Member, Ruling, StrategyContext } from 'convoke/consensus'
import { registerProvider } from 'convoke/provider'
import type { CreateProvider, Provider, ProviderChunk } from 'convoke/provider'
import { startSimulator } from 'convoke/simulator'
import type { Store, StoredMessage } from 'convoke/store'

interface Weather {
  city: string
  degrees: number
}
declare const weather: StandardSchemaV1<unknown, Weather>
declare const count: StandardSchemaV1<string, number>
const tools = [{ name: 'clock', parameters: { type: 'object' } }] as const
const llm = createLLM('openai/gpt-4o-mini')

type Same<One, Other> =
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false
/** Fails to compile where the type of the value is another. */
declare function typeOf<Actual>(value: Actual): {
  is<Expected>(...same: Same<Actual, Expected> extends true ? [] : [never]): void
}

export async function outputs(): Promise<void> {
  const typed = await llm.agenerate('x', { schema: weather })
  typeOf(typed.output).is<Weather>()
  const withTools = await llm.agenerate('x', { schema: weather, tools })
  typeOf(withTools.output).is<Weather | undefined>()
  const plain = await llm.agenerate('x')
  typeOf(plain).is<GenerateResponse>()
  const stream = llm.stream('x', { schema: weather })
  const streamed = await stream.response
  typeOf(streamed.output).is<Weather>()
  const asStream = llm.agenerate('x', { schema: weather, stream: true })
  typeOf(asStream).is<typeof stream>()
  const waited = llm.generate('x', { schema: weather })
  typeOf(waited.output).is<Weather>()
  const waitedStream = llm.generate('x', { schema: weather, stream: true, blocking: 'allow' })
  typeOf(waitedStream.response.output).is<Weather>()
  const waitedTools = llm.generate('x', { schema: weather, tools })
  typeOf(waitedTools.output).is<Weather | undefined>()
  const unsure: boolean = plain.content === ''
  const either = llm.agenerate('x', { stream: unsure })
  typeOf(either).is<ResponseStream | Promise<GenerateResponse>>()
}

export async function sessions(): Promise<void> {
  await using session = createSession(llm)
  const typed = await session.agenerate('x', { schema: weather, operationId: 'a' })
  typeOf(typed.output).is<Weather>()
  typeOf(typed.persisted).is<boolean>()
  const withTools: SessionResponse<Weather> = await session.agenerate('x', { schema: weather, tools })
  typeOf(withTools.output).is<Weather | undefined>()
  const streamed = await session.stream('x', { schema: weather }).response
  typeOf(streamed.output).is<Weather>()
  const waited = session.generate('x', { schema: weather })
  typeOf(waited.output).is<Weather>()
  const plain: SessionResponse = await session.agenerate('x')
  // @ts-expect-error: a session has its own messages
  void session.agenerate('x', { messages: [] })
  void plain
}

export async function defaults(): Promise<void> {
  const typedLLM = createLLM('openai', { model: 'gpt-4o-mini', schema: weather })
  const typed = await typedLLM.agenerate('x', { temperature: 0 })
  typeOf(typed.output).is<Weather>()
  const other = await typedLLM.agenerate('x', { schema: count })
  typeOf(other.output).is<number>()
  const withTools = await typedLLM.agenerate('x', { tools })
  typeOf(withTools.output).is<Weather | undefined>()
  const toolLLM = createLLM('openai', { schema: weather, tools })
  const called = await toolLLM.agenerate('x')
  typeOf(called.output).is<Weather | undefined>()
  const later = await withDefaults(llm, { schema: count }).agenerate('x')
  typeOf(later.output).is<number>()
  const kept = await cached(typedLLM, new Map()).agenerate('x')
  typeOf(kept.output).is<Weather>()
  const combined = await fallback([typedLLM, withDefaults(llm, { schema: count })]).agenerate('x')
  typeOf(combined.output).is<Weather | number>()
  const mixed = await hedge([typedLLM, llm], { afterMs: 5 }).agenerate('x')
  void mixed.output
  // Whatever its calls take by default, an LLM is an LLM.
  const all: LLM[] = [llm, typedLLM, toolLLM, balance([llm, typedLLM])]
  const members: Member[] = all
  void members
}

export async function together(): Promise<void> {
  const list = await fanOut([llm, llm], 'x', { schema: weather })
  if (list[0].response) typeOf(list[0].response.output).is<Weather>()
  const record = await fanOut({ one: llm }, 'x')
  typeOf(record.one.timeMs).is<number>()
  for await (const chunk of fanOut([llm], 'x', { stream: true })) typeOf(chunk.member).is<string>()
  const text = await consensus([llm, llm], 'x')
  typeOf(text.answer).is<string | undefined>()
  const choice = await consensus([llm], 'x', { choices: ['yes', 'no'] })
  typeOf(choice.answer).is<'yes' | 'no' | undefined>()
  const number = await consensus([llm], 'x', { tolerance: { relative: 0.1 } })
  typeOf(number.answer).is<number | undefined>()
  const object = await consensus([llm], 'x', { schema: weather, vote: 'fields', strategy: majority() })
  typeOf(object.answer).is<Weather | undefined>()
  const own = (ballot: Ballot, _context: StrategyContext): Partial<Ruling> & { isAgreed: boolean } => ({
    answer: ballot.votes[0]?.answer,
    isAgreed: true,
  })
  await consensus([llm], 'x', { strategy: own })
}

export function names(options: GenerateOptions): void {
  createLLM('a-provider-of-my-own', { model: 'a-model-of-my-own' })
  createLLM('openai/a-new-model')
  void llm.agenerate('x', options)
  void llm.agenerate('x', { model: 'a-new-model' })
  void llm.agenerate<Weather>('x', { schema: weather })
}

export async function contracts(store: Store, name: string): Promise<void> {
  const messages: StoredMessage[] = await store.readMessages('a')
  const create: CreateProvider = (): Provider => ({
    name,
    async *stream(): AsyncGenerator<ProviderChunk> {
      yield { type: 'text', content: String(messages.length) }
    },
  })
  registerProvider(name, create)
  const simulator = await startSimulator()
  await simulator.close()
  const error: unknown = new ConvokeError('timeout', name)
  if (isConvokeError(error)) typeOf(error.attempts).is<number>()
}

export function refused(): void {
  // @ts-expect-error: an LLM is made with createLLM
  new LLM()
  // @ts-expect-error: a stream is made by a call
  new ResponseStream()
  // @ts-expect-error: an option that there is not
  void llm.agenerate('x', { temprature: 1 })
  // @ts-expect-error: nor in a stream
  void llm.stream('x', { temprature: 1, schema: weather })
  // @ts-expect-error: nor with a schema and tools
  void llm.agenerate('x', { schema: weather, tools, temprature: 1 })
  // @ts-expect-error: nor in a tool
  void llm.agenerate('x', { tools: [{ name: 'clock', paramters: {} }] })
}

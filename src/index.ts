import './runtime.ts'

export { createLLM, LLM } from './llm.ts'
export type { RequestOptions, VendorClient } from './llm.ts'
export { fallback } from './combinators/fallback.ts'
export type { FallbackOptions } from './combinators/fallback.ts'
export { fallbackCodes } from './combinators/in-turn.ts'
export { hedge } from './combinators/hedge.ts'
export type { HedgeOptions } from './combinators/hedge.ts'
export { balance } from './combinators/balance.ts'
export type { BalanceOptions } from './combinators/balance.ts'
export { cached } from './combinators/cached.ts'
export type { CachedOptions, CacheStore } from './combinators/cached.ts'
export { withDefaults } from './combinators/with-defaults.ts'
export { ResponseStream } from './stream.ts'
export { countTokensSync } from './blocking/count-tokens.ts'
export { BlockingStream } from './blocking/stream.ts'
export type { BlockingOptions } from './blocking/generate.ts'
export { fanOut } from './fan-out.ts'
export { fanOutSync } from './fan-out-sync.ts'
export type { FanOutOptions, FanOutResults } from './fan-out.ts'
export { FanOutStream } from './fan-out-stream.ts'
export type { MemberChunk, MemberErrorChunk } from './fan-out-stream.ts'
export type {
  Member,
  MemberInfo,
  MemberResult,
  Members,
  MemberStream,
  PerMember,
  PromptForMembers,
} from './members.ts'
export { consensus, Consensus } from './consensus/consensus.ts'
export { consensusSync } from './consensus/consensus-sync.ts'
export type { ConsensusOptions } from './consensus/consensus.ts'
export type { Tolerance } from './consensus/answer.ts'
export { majority, unanimous, weighted } from './consensus/count.ts'
export type { CountOptions } from './consensus/count.ts'
export { judge, synthesize } from './consensus/judge.ts'
export type { JudgeOptions } from './consensus/judge.ts'
export { cluster, textSimilarity } from './consensus/cluster.ts'
export type { ClusterOptions, Embeddings, Similarity } from './consensus/cluster.ts'
export type * from './consensus/strategy.ts'
export type { ConsensusEvent, Standing } from './consensus/progress.ts'
export type { MemberCost, MemberFailure, Verdict, VerdictStatus } from './consensus/verdict.ts'
export { createSession, importSession, Session } from './session/session.ts'
export type { CompactOptions, SessionCallOptions, SessionOptions } from './session/session-options.ts'
export type { SessionResponse } from './session/turn.ts'
export type { ContextOptions } from './session/window.ts'
export { sqliteStore } from './store/sqlite.ts'
export type * from './store/store.ts'
export { ConvokeError, isConvokeError } from './errors.ts'
export type { ConvokeErrorOptions, ErrorCode, TimeoutPhase } from './errors.ts'
export { countTokens } from './tokens.ts'
export type { CountTokensOptions, Encoding, TokenCount } from './tokens.ts'
export { providerNames, registerProvider } from './providers/registry.ts'
export type {
  ApiKey,
  ChatRequest,
  CreateProvider,
  LLMOptions,
  MediaPart,
  Provider,
  ProviderChunk,
  ProviderConfig,
  ReportedUsage,
  RequestMessage,
} from './providers/provider.ts'
export type * from './types.ts'

import './runtime.ts'

export { createLLM, LLM } from './llm/llm.ts'
export type { RequestOptions, VendorClient } from './llm/llm.ts'
export { fallback } from './combinators/fallback.ts'
export type { FallbackOptions } from './combinators/fallback.ts'
export { fallbackCodes } from './combinators/try-in-order.ts'
export { hedge } from './combinators/hedge.ts'
export type { HedgeOptions } from './combinators/hedge.ts'
export { balance } from './combinators/balance.ts'
export type { BalanceOptions } from './combinators/balance.ts'
export { cached } from './combinators/cached.ts'
export type { CachedOptions, CacheStore } from './combinators/cached.ts'
export { withDefaults } from './combinators/with-defaults.ts'
export { ResponseStream } from './response/response-stream.ts'
export { countTokensSync } from './blocking/count-tokens-sync.ts'
export { BlockingStream } from './blocking/blocking-stream.ts'
export type { BlockingOptions } from './blocking/generate.ts'
export { fanOut } from './fan-out/fan-out.ts'
export { fanOutSync } from './fan-out/fan-out-sync.ts'
export type { FanOutOptions, FanOutResults } from './fan-out/fan-out.ts'
export { FanOutStream } from './fan-out/fan-out-stream.ts'
export type { MemberChunk, MemberErrorChunk } from './fan-out/fan-out-stream.ts'
export type {
  Member,
  MemberInfo,
  MemberResult,
  Members,
  MemberStream,
  PromptForMembers,
} from './fan-out/members.ts'
export type { PerMember } from './fan-out/per-member.ts'
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
export type { ContextOptions } from './session/context-window.ts'
export { sqliteStore } from './store/sqlite/sqlite-store.ts'
export type * from './store/store.ts'
export { ConvokeError, isConvokeError } from './errors.ts'
export type { ConvokeErrorOptions, ErrorCode, TimeoutPhase } from './errors.ts'
export { countTokens } from './tokens/count-tokens.ts'
export type { CountTokensOptions, Encoding, TokenCount } from './tokens/count-tokens.ts'
export { listProviders, registerProvider } from './providers/registry.ts'
export type {
  ChatRequest,
  CreateProvider,
  MediaPart,
  Provider,
  ProviderChunk,
  ProviderConfig,
  ReportedUsage,
  RequestMessage,
} from './provider.ts'
export type { ApiKey, LLMOptions } from './options/llm-options.ts'
export type * from './options/generate-options.ts'
export type * from './types.ts'

/**
 * The names that users of the library type. A test holds it to at most 90 of them. Names that only authors of providers,
 * stores and consensus strategies need are exported by `convoke/provider`, `convoke/store` and `convoke/consensus`.
 * Classes that users never construct are exported as types.
 */
import './runtime.ts'

export { createLLM } from './llm/llm.ts'
export type { LLM } from './llm/llm.ts'
export type { RequestOptions } from './options/generate-options.ts'
export type { ApiKey, LLMOptions } from './options/llm-options.ts'
export type { ModelName, ProviderName } from './options/known-models.ts'
export type {
  CircuitBreakerOptions,
  GenerateOptions,
  RateLimits,
  RetryOptions,
  StreamConfig,
  Timeouts,
} from './options/generate-options.ts'
export { listProviders } from './providers/registry.ts'

export type {
  AssistantMessage,
  FilePart,
  FinishReason,
  GenerateResponse,
  ImagePart,
  Message,
  ModelInfo,
  OtherAttempt,
  Prompt,
  ReasoningOption,
  StreamChunk,
  StructuredResponse,
  SystemMessage,
  TextPart,
  ToolCall,
  ToolChoice,
  ToolDefinition,
  ToolMessage,
  ToolResultPart,
  Usage,
  UserMessage,
  Warning,
} from './types.ts'
export type { ResponseTo } from './options/response-to.ts'
export type { ResponseStream } from './response/response-stream.ts'
export type { BlockingStream } from './blocking/blocking-stream.ts'
export type { BlockingOptions } from './options/generate-options.ts'
export { ConvokeError, isConvokeError } from './errors.ts'
export type { ErrorCode } from './errors.ts'

export { balance } from './combinators/balance.ts'
export type { BalanceOptions } from './combinators/balance.ts'
export { cached } from './combinators/cached.ts'
export type { CachedOptions, CacheStore } from './combinators/cached.ts'
export { fallback } from './combinators/fallback.ts'
export type { FallbackOptions } from './combinators/fallback.ts'
export { hedge } from './combinators/hedge.ts'
export type { HedgeOptions } from './combinators/hedge.ts'
export { fallbackCodes } from './combinators/failover-rule.ts'
export type { FailoverRule } from './combinators/failover-rule.ts'
export { withDefaults } from './combinators/with-defaults.ts'

export { fanOut } from './fan-out/fan-out.ts'
export type { FanOutOptions } from './fan-out/fan-out.ts'
export { fanOutSync } from './fan-out/fan-out-sync.ts'
export type { FanOutStream, MemberChunk } from './fan-out/fan-out-stream.ts'
export type { MemberResult } from './fan-out/members.ts'

export { consensus } from './consensus/consensus.ts'
export type { Consensus, ConsensusOptions } from './consensus/consensus.ts'
export { consensusSync } from './consensus/consensus-sync.ts'
export { cluster } from './consensus/cluster.ts'
export { majority, unanimous, weighted } from './consensus/count.ts'
export { judge, synthesize } from './consensus/judge.ts'
export type { ConsensusEvent } from './consensus/progress.ts'
export type { Verdict } from './consensus/verdict.ts'

export { createSession, importSession } from './session/session.ts'
export type { Session } from './session/session.ts'
export type { CompactOptions, SessionCallOptions, SessionOptions } from './session/session-options.ts'
export type { SessionResponse } from './session/turn.ts'
export type { ContextOptions } from './session/context-window.ts'
export { sqliteStore } from './store/sqlite/sqlite-store.ts'
export type { SqliteStoreOptions } from './store/sqlite/sqlite-store.ts'
export type { StoredMessage } from './store/store.ts'

export { countTokens } from './tokens/count-tokens.ts'
export type { CountTokensOptions, Encoding, TokenCount } from './tokens/count-tokens.ts'
export { countTokensSync } from './blocking/count-tokens-sync.ts'

/**
 * `convoke/provider`: what someone needs who writes the adapter of a vendor. The library itself does not import this
 * file: it stands above its room, as src/index.ts does.
 */
import '../runtime.ts'

export { registerProvider } from './registry.ts'
export type {
  ChatRequest,
  CreateProvider,
  MediaPart,
  Provider,
  ProviderChunk,
  ProviderConfig,
  ReportedUsage,
  RequestMessage,
} from '../provider.ts'
export type { ConvokeErrorOptions, TimeoutPhase } from '../errors.ts'
export type {
  AssistantPart,
  FinishChunk,
  PullProgress,
  ReasoningChunk,
  ReasoningEffort,
  ReasoningPart,
  RefusalChunk,
  ResetChunk,
  StartChunk,
  TextChunk,
  Timing,
  ToolCallChunk,
  ToolCallDeltaChunk,
  ToolCallPart,
  ToolCallStartChunk,
  ToolResultChunk,
} from '../types.ts'

/**
 * `convoke/consensus`: what someone needs who writes a strategy, or a member that is no LLM. The library itself does not
 * import this file: it stands above its room, as src/index.ts does.
 */
import '../runtime.ts'

export { textSimilarity } from './cluster.ts'
export type { ClusterOptions, Embeddings, Similarity } from './cluster.ts'
export type { AnswerTo } from './consensus.ts'
export type { Tolerance } from './answer.ts'
export type { CountOptions } from './count.ts'
export type { JudgeOptions } from './judge.ts'
export type { Standing } from './progress.ts'
export type {
  Ballot,
  Consultation,
  FieldRuling,
  Question,
  Ruling,
  Strategy,
  StrategyContext,
  StrategyFunction,
  Vote,
} from './strategy.ts'
export type { MemberCost, MemberFailure, VerdictStatus } from './verdict.ts'
export type { FanOutResults } from '../fan-out/fan-out.ts'
export type { MemberErrorChunk } from '../fan-out/fan-out-stream.ts'
export type { Member, MemberInfo, Members, MemberStream, PromptForMembers } from '../fan-out/members.ts'
export type { PerMember } from '../fan-out/per-member.ts'

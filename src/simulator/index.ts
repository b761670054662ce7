import '../runtime.ts'

export { startSimulator } from './simulator.ts'
export type {
  Fault,
  FaultFunction,
  Reply,
  ReplyFunction,
  RequestOutcome,
  RequestRecord,
  ScriptedReply,
  ScriptedToolCall,
  ScriptedUsage,
  SimulatedApi,
  SimulatedFinishReason,
  SimulatedMessage,
  SimulatedProvider,
  SimulatedRequest,
  Simulator,
  SimulatorOptions,
} from './types.ts'

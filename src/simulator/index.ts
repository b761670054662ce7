/**
 * `convoke/simulator`: a local server with the wire protocols of OpenAI, Anthropic, Gemini, Cohere and Ollama, for
 * tests of any code that calls an LLM. This room knows nothing of the library, and the library imports nothing from it.
 */
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

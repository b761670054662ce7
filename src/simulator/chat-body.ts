/** The parts of a request body that OpenAI's Chat Completions, Cohere and Ollama have in common. */
import { asObjects, asString, isObject, textOf } from './json-value.ts'
import type { JsonObject } from './json-value.ts'
import type { WireMessage } from './wire-message.ts'
import type { Conversation } from './wire-format.ts'

/** Reads a body as OpenAI and Cohere have it: system messages stand among the others. */
export function readChatBody(
  body: JsonObject,
  readMessage: (message: JsonObject) => WireMessage,
): Conversation {
  const messages = asObjects(body['messages'])
  const isSystem = (message: JsonObject) => message['role'] === 'system' || message['role'] === 'developer'
  return {
    model: asString(body['model']) ?? '',
    stream: body['stream'] === true,
    system: messages.filter(isSystem).map((message) => textOf(message['content'])),
    messages: messages.filter((message) => !isSystem(message)).map(readMessage),
    tools: asObjects(body['tools']).map(toolName),
  }
}

/** The name of a tool, or of the tool in a call. */
export function toolName(tool: JsonObject): string {
  const named = isObject(tool['function']) ? tool['function'] : tool
  return asString(named['name']) ?? ''
}

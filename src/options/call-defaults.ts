/** The part of an LLM's options that calls take by default. */
import type { GenerateOptions } from './generate-options.ts'
import { llmRules } from './llm-rules.ts'
import type { LLMOptions } from './llm-options.ts'
import { mergeOptions } from './merge-options.ts'

/** @param options of createLLM, checked */
export function callDefaults(options: LLMOptions): GenerateOptions {
  const defaults = Object.entries(options).filter(([name]) => !Object.hasOwn(llmRules, name))
  return mergeOptions({}, Object.fromEntries(defaults))
}

/** The defaults for a reply in plain text: without tools, a schema, stop texts and earlier messages. */
export function plainTextDefaults(defaults: GenerateOptions): GenerateOptions {
  const { tools: _tools, toolChoice: _choice, schema: _schema, ...rest } = defaults
  const { stop: _stop, messages: _messages, ...plain } = rest
  return plain
}

/** The parts that Ollama's endpoints share: error bodies and descriptions of models. */
import { createHash } from 'node:crypto'
import { bearerToken, jsonLine } from './wire-format.ts'
import type { Problem, Vendor } from './wire-format.ts'

const MESSAGES: Record<number, string> = {
  400: 'invalid request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not found',
  429: 'too many requests',
  500: 'an unexpected error occurred while running the model',
  502: 'upstream error',
  503: 'server busy, please try again.  maximum pending requests exceeded',
}

const DETAILS = {
  parent_model: '',
  format: 'gguf',
  family: 'llama',
  families: ['llama'],
  parameter_size: '3.2B',
  quantization_level: 'Q4_K_M',
}

const SIZE_BYTES = 2_019_393_189
const MODIFIED_AT = '2025-10-01T00:00:00Z'

/** Ollama's message for a problem, in an error body or in a stream. */
export function ollamaMessage(problem: Problem): string {
  if (problem.message !== undefined) return problem.message
  if (problem.kind === 'model-not-found') return `model '${problem.model ?? ''}' not found`
  return MESSAGES[problem.status] ?? `the request failed with status ${problem.status}`
}

export const ollama: Vendor = {
  name: 'ollama',
  defaultModels: ['llama3.2:latest', 'qwen3:latest', 'gpt-oss:20b'],
  overloadedStatus: 503,
  key: bearerToken,
  headers: () => ({}),
  error: (problem) => ({ error: ollamaMessage(problem) }),
  list: (models) => ({ models: models.map((name) => ({ ...tag(name), modified_at: MODIFIED_AT })) }),
  model: showModel,
}

/** The body of `/api/ps`. Every model counts as loaded. */
export function runningModels(models: readonly string[]): unknown {
  const expires_at = '2099-01-01T00:00:00Z'
  return {
    models: models.map((name) => ({ ...tag(name), expires_at, size_vram: SIZE_BYTES, context_length: 8192 })),
  }
}

/** A made-up digest, always the same for the same name. */
function digest(name: string): string {
  return createHash('sha256').update(name).digest('hex')
}

/** Ollama's own rule: a name without a tag means `:latest`. */
export function withTag(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1).includes(':') ? name : `${name}:latest`
}

/** The progress of an Ollama pull: a model of one layer, downloaded in a few steps. */
export function* pullEvents(model: string): Generator<string> {
  const layer = digest(withTag(model))
  const total = 2_019_377_376
  yield jsonLine({ status: 'pulling manifest' })
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const completed = Math.round(total * share)
    yield jsonLine({ status: `pulling ${layer.slice(0, 12)}`, digest: `sha256:${layer}`, total, completed })
  }
  yield jsonLine({ status: 'verifying sha256 digest' })
  yield jsonLine({ status: 'writing manifest' })
  yield jsonLine({ status: 'success' })
}

function tag(name: string): Record<string, unknown> {
  return { name, model: name, size: SIZE_BYTES, digest: digest(name), details: DETAILS }
}

function showModel(name: string): Record<string, unknown> {
  return {
    license: 'A simulated licence.',
    modelfile: `# Modelfile of ${name}\nFROM ${name}\n`,
    parameters: 'stop "<|eot_id|>"',
    template: '{{ .Prompt }}',
    details: DETAILS,
    model_info: {
      'general.architecture': 'llama',
      'general.parameter_count': 3_212_749_888,
      'llama.context_length': 131_072,
    },
    capabilities: ['completion', 'tools', 'thinking'],
    modified_at: MODIFIED_AT,
  }
}

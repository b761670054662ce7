/**
 * Measures the error of estimates: `node --conditions=convoke-source test/bench/estimates.ts FOLDER`. The folder holds
 * recorded replies, one JSON file for each: `{ id, expected: { text, model, usage: { output } } }`. For every reply of
 * nothing but text, it compares the estimate with the output tokens that the vendor counted, with and without the factor
 * of the model.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { scaleOf } from '../../src/tokens/estimate-scale.ts'
import { estimateTokens, scaleForModel } from '../../src/tokens/count-tokens.ts'

/** Shorter replies are skipped, because the tokens that end a reply weigh too much in them. */
const minUnits = 100
/**
 * Characters per token in English. Outside of this range the vendor counted tokens that are not in the text, or the
 * recording was shortened by hand.
 */
const plausible = { least: 2, most: 6.5 }

interface Recording {
  id: string
  provider: string
  flavor: string
  expected: {
    outcome: string
    text?: string
    model?: string
    usage?: { output?: number; reasoning?: number }
  } & Record<string, unknown>
}

interface Sample {
  id: string
  family: string
  model: string
  units: number
  told: number
  raw: number
}

const families: [RegExp, string][] = [
  [/claude-(opus-4-[78]|(opus|sonnet|fable)-5)/, 'Claude from Opus 4.7 on'],
  [/claude/, 'Claude up to Opus 4.6'],
  [/gemini/, 'Gemini'],
  [/^(gpt|o\d|chatgpt)/, 'OpenAI'],
]
/** Fields of a reply that cost tokens besides its text. Gemini counts its thoughts separately. */
const beside = ['toolCalls', 'serverToolCalls', 'refusal', 'citations', 'toolPlan']
const partsBeside = /executableCode|codeExecutionResult|inlineData|functionCall/

function sampleOf({ id, provider, flavor, expected }: Recording): Sample | undefined {
  const { outcome, text = '', model = '', usage } = expected
  if (outcome !== 'ok' || !usage?.output || text.length < minUnits) return undefined
  const hasThought = provider !== 'google' && ['reasoning', 'signatures'].some((name) => name in expected)
  if (hasThought || (provider !== 'google' && usage.reasoning)) return undefined
  if (beside.some((name) => name in expected) || partsBeside.test(String(expected['partTypes'])))
    return undefined
  const perToken = text.length / usage.output
  if (perToken < plausible.least || perToken > plausible.most) return undefined
  const family = families.find(([name]) => name.test(model))?.[1] ?? `${provider} ${flavor}`
  return { id, family, model, units: text.length, told: usage.output, raw: estimateTokens(text) }
}

function spread(errors: number[]): string {
  const sorted = errors.toSorted((a, b) => a - b)
  const [least, middle, most] = [0, (sorted.length - 1) / 2, sorted.length - 1].map(
    (at) => ((sorted[Math.floor(at)] as number) + (sorted[Math.ceil(at)] as number)) / 2,
  )
  return [least, middle, most].map((error) => `${((error as number) * 100).toFixed(0)} %`).join(' / ')
}

const folder = process.argv[2]
if (folder === undefined) throw new Error('No folder. Pass the folder of the recordings.')
const samples = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => sampleOf(JSON.parse(readFileSync(join(folder, name), 'utf8')) as Recording))
  .filter((sample) => sample !== undefined)
for (const [family, found] of Map.groupBy(samples, (sample) => sample.family)) {
  const raw = found.map((sample) => sample.raw / sample.told - 1)
  const own = found.map((sample) => scaleForModel(sample.raw, sample.model) / sample.told - 1)
  console.log(
    `${family}: ${found.length} replies; least, middle, most: ${spread(raw)}, scaled ${spread(own)}`,
  )
  for (const { id, model, units, told, raw: tokens } of found) {
    console.log(`  ${model} ${units} characters, ${told} tokens, ${tokens} × ${scaleOf(model)}  ${id}`)
  }
}

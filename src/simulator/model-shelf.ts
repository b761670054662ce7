/** The models that the simulator lists, per vendor; Ollama's can be pulled and deleted. */
import { digest, withTag } from './ollama.ts'
import type { Vendor } from './wire-format.ts'

/** Lists of models. */
export class ModelShelf {
  #given: readonly string[] | undefined
  #ollama: string[] | undefined

  constructor(given: readonly string[] | undefined) {
    this.#given = given
  }

  list(vendor: Vendor): readonly string[] {
    if (vendor.name === 'ollama') return this.#ofOllama(vendor)
    return this.#given ?? vendor.defaultModels
  }

  has(vendor: Vendor, model: string): boolean {
    const name = vendor.name === 'ollama' ? withTag(model) : model.replace(/^models\//, '')
    return this.list(vendor).some((listed) => listed.replace(/^models\//, '') === name)
  }

  add(vendor: Vendor, model: string): void {
    if (!this.has(vendor, model)) this.#ofOllama(vendor).push(withTag(model))
  }

  remove(vendor: Vendor, model: string): void {
    this.#ollama = this.#ofOllama(vendor).filter((listed) => listed !== withTag(model))
  }

  #ofOllama(vendor: Vendor): string[] {
    this.#ollama ??= (this.#given ?? vendor.defaultModels).map(withTag)
    return this.#ollama
  }
}

/** The progress of an Ollama pull: a model of one layer, downloaded in a few steps. */
export function* pullEvents(model: string): Generator<string> {
  const layer = digest(withTag(model))
  const total = 2_019_377_376
  const line = (data: Record<string, unknown>) => `${JSON.stringify(data)}\n`
  yield line({ status: 'pulling manifest' })
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const completed = Math.round(total * share)
    yield line({ status: `pulling ${layer.slice(0, 12)}`, digest: `sha256:${layer}`, total, completed })
  }
  yield line({ status: 'verifying sha256 digest' })
  yield line({ status: 'writing manifest' })
  yield line({ status: 'success' })
}

/** The models that the simulator lists for each vendor. Those of Ollama can be pulled and deleted. */
import { withTag } from './ollama.ts'
import type { Vendor } from './wire-format.ts'

export class ModelCatalog {
  readonly #given: readonly string[] | undefined
  /** Ollama's own list, once it is used. */
  #ollama: string[] | undefined

  /** @param given the models of every vendor; undefined for each vendor's own defaults */
  constructor(given: readonly string[] | undefined) {
    this.#given = given
  }

  list(vendor: Vendor): readonly string[] {
    if (vendor.name === 'ollama') return this.#ollamaModels(vendor)
    return this.#given ?? vendor.defaultModels
  }

  has(vendor: Vendor, model: string): boolean {
    const name = vendor.name === 'ollama' ? withTag(model) : model.replace(/^models\//, '')
    return this.list(vendor).some((listed) => listed.replace(/^models\//, '') === name)
  }

  add(vendor: Vendor, model: string): void {
    if (!this.has(vendor, model)) this.#ollamaModels(vendor).push(withTag(model))
  }

  remove(vendor: Vendor, model: string): void {
    this.#ollama = this.#ollamaModels(vendor).filter((listed) => listed !== withTag(model))
  }

  #ollamaModels(vendor: Vendor): string[] {
    this.#ollama ??= (this.#given ?? vendor.defaultModels).map(withTag)
    return this.#ollama
  }
}

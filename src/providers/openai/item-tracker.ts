/** Keeps track of the items of a reply of OpenAI's Responses API while their events arrive. */
import { makeCallId } from '../shared/tool-calls.ts'
import type { Fields } from '../shared/fields.ts'

/** The part of one item that was delivered so far. */
export interface ItemProgress {
  type: string
  id: string | undefined
  index: number | undefined
  callId: string
  /** The text, the reasoning or the arguments so far. */
  text: string
  refusal: string
  /** Whether the item has ended. */
  isDone: boolean
}

export class ItemTracker {
  readonly #items: ItemProgress[] = []

  /** All items so far, in the order in which they began. */
  get all(): readonly ItemProgress[] {
    return [...this.#items]
  }

  /** The item of an event; a new item when no event announced it. */
  findOrOpen(type: string, body: Fields): ItemProgress {
    const { item_id: id, output_index: index } = body
    return this.find(type, body) ?? this.open(type, typeof id === 'string' ? id : undefined, index)
  }

  /**
   * The item of an event, by the item's id, else by its index. Some servers give an item another id in every event, and
   * others number all items 0.
   */
  find(type: string, { item_id: id, output_index: index }: Fields): ItemProgress | undefined {
    const latest = this.#items.at(-1)
    if (latest && latest.type === type && latest.id === id && latest.index === index) return latest
    const sameType = this.#items.filter((item) => item.type === type)
    const open = sameType.filter((item) => !item.isDone)
    return (
      sameType.findLast((item) => item.id === id && id !== undefined) ??
      open.findLast((item) => item.index === index)
    )
  }

  open(type: string, id: string | undefined, index: unknown, callId?: string): ItemProgress {
    const item: ItemProgress = {
      type,
      id,
      index: typeof index === 'number' ? index : undefined,
      callId: callId || id || makeCallId(),
      text: '',
      refusal: '',
      isDone: false,
    }
    this.#items.push(item)
    return item
  }
}

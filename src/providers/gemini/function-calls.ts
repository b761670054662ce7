/**
 * Gemini's function calls: whole ones, and those whose arguments are streamed as values with JSON paths
 * (`streamFunctionCallArguments` on Vertex AI).
 */
import type { ProviderChunk } from '../../provider.ts'
import { ToolCalls } from '../shared/tool-calls.ts'

/** A `functionCall` part: a whole call, or a piece of one. */
export interface FunctionCallFields {
  id?: string
  name?: string
  args?: Record<string, unknown> | null
  partialArgs?: PartialArgument[] | null
  /** More pieces of this call follow. */
  willContinue?: boolean
}

/** One piece of an argument. */
interface PartialArgument {
  /** Where the value belongs: `$.operations[0].action`. */
  jsonPath?: string
  stringValue?: string
  numberValue?: number
  boolValue?: boolean
  nullValue?: unknown
  /** Another piece of the same text follows. */
  willContinue?: boolean
}

interface OpenCall {
  id: string
  vendorId: string | undefined
  arguments: StreamedArguments
}

export class FunctionCalls {
  readonly #calls: ToolCalls
  readonly #vendorIds = new Set<string>()
  /** The call whose arguments are still coming. */
  #open: OpenCall | undefined

  constructor(provider: string) {
    this.#calls = new ToolCalls(provider)
  }

  get size(): number {
    return this.#calls.size
  }

  /** Adds a part. Of a streamed call the first has the name, others have values, the last is often empty. */
  add(call: FunctionCallFields, signature: string | undefined): ProviderChunk[] {
    const chunks: ProviderChunk[] = []
    const isNext = call.id !== undefined && call.id === this.#open?.vendorId
    if (call.name && !isNext) chunks.push(...this.#close(), ...this.#begin(call, signature))
    else if (signature && this.#open) this.#calls.delta({ id: this.#open.vendorId, signature })
    if (!this.#open) return chunks
    if (call.args) this.#open.arguments.merge(call.args)
    for (const piece of call.partialArgs ?? []) chunks.push(...this.#delta(this.#open.arguments.add(piece)))
    if (!call.willContinue) chunks.push(...this.#close())
    return chunks
  }

  /**
   * Ends the call that is open, where the last piece did not come. `cutBy` is the finish reason that cut it off.
   * @throws ConvokeError `malformed_response`: a call that was cut off must not look whole
   */
  complete(cutBy?: string): ProviderChunk[] {
    // A text that no last piece closed is cut off, whatever the finish reason says.
    if (!this.#open || (cutBy === undefined && !this.#open.arguments.isInText)) return this.#close()
    this.#calls.settle(this.#open.id, this.#open.arguments.unfinished)
    return this.#calls.complete(undefined, cutBy, true)
  }

  #begin({ id, name }: FunctionCallFields, signature: string | undefined): ProviderChunk[] {
    // An id that was there before (proxies write the name there) would join two calls.
    const vendorId = id && !this.#vendorIds.has(id) ? id : undefined
    if (vendorId) this.#vendorIds.add(vendorId)
    const chunks = this.#calls.delta({ id: vendorId, name, signature })
    const start = chunks.find((chunk) => chunk.type === 'tool-call-start')
    this.#open = { id: start?.id ?? '', vendorId, arguments: new StreamedArguments() }
    return chunks
  }

  #delta(text: string): ProviderChunk[] {
    return text ? this.#calls.delta({ id: this.#open?.vendorId, arguments: text }) : []
  }

  #close(): ProviderChunk[] {
    if (!this.#open) return []
    const { text, rest } = this.#open.arguments.end()
    const chunks = this.#delta(rest)
    this.#calls.settle(this.#open.id, text)
    this.#open = undefined
    return [...chunks, ...this.#calls.complete()]
  }
}

type Key = string | number
type Container = unknown[] | Record<Key, unknown>

/** Puts streamed arguments together, and writes them as JSON text on the way. */
class StreamedArguments {
  // Without a prototype, so that a path like `$.__proto__.x` is a key like any other.
  readonly #root = emptyObject()
  /** The JSON text given so far. */
  #given = ''
  /** Whether the values came in the order of a document, so that what was given is the beginning of the whole. */
  #isInOrder = true
  /** The path of the value that was given last. */
  #last: readonly Key[] = []
  /** The path of a text that is still open. */
  #openPath: string | undefined

  /** Whether a text value waits for its next piece. */
  get isInText(): boolean {
    return this.#openPath !== undefined
  }

  /** The JSON text that a piece adds; '' once that is not certain before the end. */
  add(piece: PartialArgument): string {
    const { jsonPath = '', stringValue, numberValue, boolValue, willContinue = false } = piece
    const value = 'nullValue' in piece ? null : (stringValue ?? numberValue ?? boolValue)
    if (value === undefined) return ''
    const path = keysOf(jsonPath)
    const continues = typeof value === 'string' && jsonPath === this.#openPath
    const staysOpen = typeof value === 'string' && willContinue
    const lead = continues ? '' : this.#lead(path)
    setAt(this.#root, path, value, continues)
    this.#openPath = staysOpen ? jsonPath : undefined
    if (lead === undefined) this.#isInOrder = false
    if (!this.#isInOrder) return ''
    const added = lead + JSON.stringify(value).slice(continues ? 1 : 0, staysOpen ? -1 : undefined)
    this.#last = path
    this.#given += added
    return added
  }

  /** Takes arguments that came whole. */
  merge(values: Record<string, unknown>): void {
    Object.assign(this.#root, values)
    this.#isInOrder = false
  }

  /** The beginning of the JSON text: never whole, since its last bracket is missing. */
  get unfinished(): string {
    return this.#given || '{'
  }

  /** The whole JSON text, and the end of it that was not given yet, where what was given is its beginning. */
  end(): { text: string; rest: string } {
    if (this.#isInOrder && this.#given) {
      const rest = this.#closers(0)
      return { text: this.#given + rest, rest }
    }
    const text = JSON.stringify(this.#root)
    return { text, rest: this.#given ? '' : text }
  }

  /** What stands between the value before and that of a path; undefined where the path goes back. */
  #lead(path: readonly Key[]): string | undefined {
    const isFirst = this.#given === ''
    const depth = isFirst ? 0 : this.#last.findIndex((key, at) => key !== path[at])
    const key = path[depth]
    if (key === undefined) return undefined
    const container = path.slice(0, depth).reduce<Container>(childOf, this.#root)
    const isNext = Array.isArray(container) ? key === container.length : !Object.hasOwn(container, key)
    if (!isNext) return undefined
    const openers = path.slice(depth).map((name, at) => {
      const isList = typeof name === 'number'
      const mark = at === 0 && !isFirst ? ',' : isList ? '[' : '{'
      return isList ? mark : `${mark}${JSON.stringify(name)}:`
    })
    return (isFirst ? '' : this.#closers(depth + 1)) + openers.join('')
  }

  /** What closes the text and the containers that are open, down to a depth. */
  #closers(depth: number): string {
    const brackets = this.#last.slice(depth).map((key) => (typeof key === 'number' ? ']' : '}'))
    return (this.#openPath === undefined ? '' : '"') + brackets.reverse().join('')
  }
}

function emptyObject(): Record<Key, unknown> {
  return Object.create(null) as Record<Key, unknown>
}

function childOf(container: Container, key: Key): Container {
  return (container as Record<Key, unknown>)[key] as Container
}

const step = /\.([^.[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]/gy

/** The steps of a JSON path (RFC 9535) to one value: `.name`, `['name']` and `[0]`. */
function keysOf(jsonPath: string): Key[] {
  const keys: Key[] = []
  let length = 1
  for (const [text, name, index, ...quoted] of jsonPath.slice(1).matchAll(step)) {
    length += text.length
    keys.push(index ? Number(index) : (name ?? (quoted[0] ?? quoted[1] ?? '').replaceAll(/\\(.)/g, '$1')))
  }
  if (keys.length === 0 || !jsonPath.startsWith('$') || length !== jsonPath.length) {
    throw new Error(`no JSON path to one value: ${jsonPath.slice(0, 120)}`)
  }
  return keys
}

function setAt(root: Container, path: readonly Key[], value: unknown, continues: boolean): void {
  let container = root as Record<Key, unknown>
  path.forEach((key, depth) => {
    // A list grows by one, so that no index can ask for a gigabyte.
    const fits = Array.isArray(container)
      ? typeof key === 'number' && key <= container.length
      : typeof key === 'string'
    if (!fits) throw new Error(`a JSON path that does not fit the one before: ${path.join('.')}`)
    if (depth === path.length - 1) {
      container[key] = continues ? String(container[key]) + String(value) : value
    } else {
      if (typeof container[key] !== 'object' || container[key] === null) {
        container[key] = typeof path[depth + 1] === 'number' ? [] : emptyObject()
      }
      container = container[key] as Record<Key, unknown>
    }
  })
}

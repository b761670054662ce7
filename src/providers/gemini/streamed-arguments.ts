/** Joins the streamed arguments of a Gemini function call, and writes them as JSON text while they arrive. */

/** One piece of an argument, as Gemini sends it. */
export interface PartialArgument {
  /** The place of the value, such as `$.operations[0].action`. */
  jsonPath?: string
  stringValue?: string
  numberValue?: number
  boolValue?: boolean
  nullValue?: unknown
  /** Whether another piece of the same text follows. */
  willContinue?: boolean
}

type Key = string | number
type Container = unknown[] | Record<Key, unknown>

export class StreamedArguments {
  // The object has no prototype, so that a path like `$.__proto__.x` only sets a key.
  readonly #root = emptyObject()
  /** The JSON text that was given out so far. */
  #given = ''
  /** Whether the values came in the order of a document, so that the text given out begins the whole JSON text. */
  #isInOrder = true
  /** The path of the value that was given out last. */
  #lastPath: readonly Key[] = []
  /** The path of a text value that is still open. */
  #openPath: string | undefined

  /** Whether a text value waits for its next piece. */
  get isInText(): boolean {
    return this.#openPath !== undefined
  }

  /** The JSON text that a piece adds. It is '' once the text is certain only at the end. */
  add(piece: PartialArgument): string {
    const { jsonPath = '', stringValue, numberValue, boolValue, willContinue = false } = piece
    const value = 'nullValue' in piece ? null : (stringValue ?? numberValue ?? boolValue)
    if (value === undefined) return ''
    const path = keysOf(jsonPath)
    const continues = typeof value === 'string' && jsonPath === this.#openPath
    const staysOpen = typeof value === 'string' && willContinue
    const separator = continues ? '' : this.#separator(path)
    setAt(this.#root, path, value, continues)
    this.#openPath = staysOpen ? jsonPath : undefined
    if (separator === undefined) this.#isInOrder = false
    if (!this.#isInOrder) return ''
    const added = separator + JSON.stringify(value).slice(continues ? 1 : 0, staysOpen ? -1 : undefined)
    this.#lastPath = path
    this.#given += added
    return added
  }

  /** Adds arguments that came as a whole. */
  merge(values: Record<string, unknown>): void {
    Object.assign(this.#root, values)
    this.#isInOrder = false
  }

  /** The beginning of the JSON text. It is never valid JSON, because its last bracket is missing. */
  get unfinished(): string {
    return this.#given || '{'
  }

  /** The whole JSON text, and the rest of it that was not given out yet. */
  end(): { text: string; rest: string } {
    if (this.#isInOrder && this.#given) {
      const rest = this.#closers(0)
      return { text: this.#given + rest, rest }
    }
    const text = JSON.stringify(this.#root)
    return { text, rest: this.#given ? '' : text }
  }

  /** The JSON text between the last value and the value of a path; undefined when the path goes back. */
  #separator(path: readonly Key[]): string | undefined {
    const isFirst = this.#given === ''
    const depth = isFirst ? 0 : this.#lastPath.findIndex((key, at) => key !== path[at])
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

  /** The JSON text that closes the open text value and the open containers, down to a depth. */
  #closers(depth: number): string {
    const brackets = this.#lastPath.slice(depth).map((key) => (typeof key === 'number' ? ']' : '}'))
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

/** The keys of a JSON path (RFC 9535) to one value. Its steps are `.name`, `['name']` and `[0]`. */
function keysOf(jsonPath: string): Key[] {
  const keys: Key[] = []
  let length = 1
  for (const [text, name, index, ...quoted] of jsonPath.slice(1).matchAll(step)) {
    length += text.length
    keys.push(index ? Number(index) : (name ?? (quoted[0] ?? quoted[1] ?? '').replaceAll(/\\(.)/g, '$1')))
  }
  if (keys.length === 0 || !jsonPath.startsWith('$') || length !== jsonPath.length) {
    throw new Error(`not a JSON path to one value: ${jsonPath.slice(0, 120)}`)
  }
  return keys
}

function setAt(root: Container, path: readonly Key[], value: unknown, continues: boolean): void {
  let container = root as Record<Key, unknown>
  path.forEach((key, depth) => {
    // A list grows by one element at most, so that no index can make it take a gigabyte.
    const fits = Array.isArray(container)
      ? typeof key === 'number' && key <= container.length
      : typeof key === 'string'
    if (!fits) throw new Error(`a JSON path that does not fit the earlier ones: ${path.join('.')}`)
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

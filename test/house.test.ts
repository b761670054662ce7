/** Who may import whom: the rooms of src/, from the ground up. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '..')
const source = join(root, 'src')

/** Each room may import from the rooms below it and, unless said otherwise, from itself. */
const storeys: { room: string; files: RegExp; apart?: boolean }[] = [
  { room: 'runtime', files: /^runtime\.ts$/ },
  { room: 'types and errors', files: /^(types|errors|did-you-mean)\.ts$/ },
  { room: 'the provider contract', files: /^providers\/provider\.ts$/ },
  { room: 'what crosses threads', files: /^(protocol|plain-errors|store\/store)\.ts$/ },
  { room: 'worker threads', files: /^(pool|thread-arguments)\.ts$/ },
  { room: 'the tokenizer', files: /^tokenizer\// },
  { room: 'policies', files: /^policies\// },
  { room: 'transport', files: /^transport\// },
  {
    room: 'what the vendors share',
    files: /^(providers\/(chunk-reader|mapping|presets|tool-calls|vendor-connection)\.ts)$/,
  },
  { room: 'vendors', files: /^providers\/(openai|anthropic|gemini|cohere|ollama)[a-z-]*\.ts$/, apart: true },
  { room: 'the registry and what it configures', files: /^providers\/(registry|configure)\.ts$/ },
  {
    room: 'options, prompts, output, tokens and prices',
    files: /^(options|output|tokens|prices|prompt|request)\.ts$/,
  },
  { room: 'stores', files: /^store\// },
  { room: 'replies', files: /^(reply-parts|collect)\.ts$/ },
  { room: 'the thread that waits', files: /^blocking\// },
  {
    room: 'calls and streams',
    files: /^(replayed|gate|stream|caller|call|requests)\.ts$/,
  },
  { room: 'the wiring', files: /^vendor-caller\.ts$/ },
  { room: 'the facade', files: /^llm\.ts$/ },
  { room: 'LLMs out of LLMs', files: /^combinators\// },
  { room: 'many members', files: /^(members|usage|fan-out|fan-out-stream|fan-out-sync)\.ts$/ },
  { room: 'consensus', files: /^consensus\// },
  { room: 'sessions', files: /^session\// },
  { room: 'the public names', files: /^index\.ts$/ },
]
/** The simulator is a product of its own: it imports nothing of the library but the runtime check. */
const simulator = /^simulator\//

interface Import {
  from: string
  to: string
  isType: boolean
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(source, join(entry.parentPath, entry.name)))
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(source, file), 'utf8').replaceAll(/\{[^}]*\}/g, '{}')
  const found = [
    ...text.matchAll(/(import|export) (type )?[^'\n]*?from '(\.[^']+)'|import\(?\s*'(\.[^']+)'/g),
  ]
  return found.map(([, , type, path, bare]) => ({
    from: file,
    to: relative(source, resolve(source, dirname(file), (path ?? bare) as string)),
    isType: type !== undefined,
  }))
}

function storey(file: string): number {
  return storeys.findIndex(({ files: pattern }) => pattern.test(file))
}

const vendorOf = (file: string) => /^providers\/([a-z]+)/.exec(file)?.[1]
const all = files(source)
const imports = all.flatMap(importsOf)

test('every file stands in a room', () => {
  assert.ok(all.length > 20)
  assert.deepEqual(
    all.filter((file) => !simulator.test(file) && storey(file) < 0),
    [],
  )
})

test('imports go down, never up', () => {
  const upward = imports.filter(({ from, to }) => !simulator.test(from) && storey(to) > storey(from))
  assert.deepEqual(upward, [])
})

test('the files of one room that must stay apart do not import each other', () => {
  const beside = imports.filter(({ from, to }) => {
    const room = storeys[storey(from)]
    return room?.apart && storeys[storey(to)] === room && vendorOf(from) !== vendorOf(to)
  })
  assert.deepEqual(beside, [])
})

test('no circle of imports (types aside, which are gone when it runs)', () => {
  const next = Map.groupBy(
    imports.filter(({ isType }) => !isType),
    ({ from }) => from,
  )
  const done = new Set<string>()
  const visit = (file: string, path: string[]): void => {
    assert.ok(!path.includes(file), [...path, file].join(' → '))
    if (done.has(file)) return
    for (const { to } of next.get(file) ?? []) visit(to, [...path, file])
    done.add(file)
  }
  for (const file of all) visit(file, [])
})

test('the simulator and the library know nothing of each other', () => {
  const crossing = imports.filter(
    ({ from, to }) => simulator.test(from) !== simulator.test(to) && to !== 'runtime.ts',
  )
  assert.deepEqual(crossing, [])
})

test('no vendor SDK is imported but as a type or on first use', () => {
  const sdks = /^import (?!type)[^'\n]*'(openai|@anthropic-ai|@google|cohere-ai|ollama)[^']*'/m
  assert.deepEqual(
    all.filter((file) => sdks.test(readFileSync(join(source, file), 'utf8'))),
    [],
  )
})

test('every entry point refuses an old Node before anything else is loaded', () => {
  for (const entry of ['index.ts', 'simulator/index.ts']) {
    const first = importsOf(entry)[0]
    assert.equal(first?.to, 'runtime.ts', entry)
  }
})

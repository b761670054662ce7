/** Who may import whom. The folders of src/ are the layers, and this list of them is the only one. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const source = join(root, 'src')

/** From the ground up: a room imports from itself and from the rooms before it. `*` stands for any folder. */
const rooms = [
  '.',
  'options',
  'policies',
  'threads',
  'request',
  'transport',
  'tokens/bpe',
  'tokens',
  'usage',
  'response',
  'store',
  'store/sqlite',
  'store/sqlite/thread',
  'providers/shared',
  'providers/*',
  'providers',
  'blocking',
  'llm',
  'combinators',
  'fan-out',
  'consensus',
  'session',
  'blocking/thread',
]
/** What src/ itself holds beside the index: the words of the library. */
const words = ['runtime.ts', 'types.ts', 'errors.ts', 'provider.ts']
/** The entry points. They stand above all rooms, also above their own, and nothing imports them. */
const { exports: exported } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, string | { 'convoke-source': string }>
}
const entries = Object.values(exported).flatMap((entry) =>
  typeof entry === 'string' ? [] : [relative(source, join(root, entry['convoke-source']))],
)
/** Beside the house: nothing but these reaches the side of generate() that waits. */
const mayBlock = /^(index|llm\/llm|session\/session|blocking\/.+|[a-z-]+\/[a-z-]+-sync)\.ts$/

interface Import {
  from: string
  to: string
}

const files = readdirSync(source, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => relative(source, join(entry.parentPath, entry.name)))
const textOf = (file: string) => readFileSync(join(source, file), 'utf8')
function importsOf(file: string): Import[] {
  return [...textOf(file).matchAll(/(?:\bfrom|\bimport\(?)\s*'(\.[^']+)'/g)].map(([, path]) => ({
    from: file,
    to: relative(source, resolve(source, dirname(file), path as string)),
  }))
}
const imports = files.flatMap(importsOf)
const isSimulator = (file: string) => file.startsWith('simulator/')

function floorOf(file: string): number {
  if (entries.includes(file)) return rooms.length
  const room = dirname(file)
  const exact = rooms.indexOf(room)
  return exact >= 0 ? exact : rooms.indexOf(`${dirname(room)}/*`)
}

test('every file stands in a room, and src/ itself holds the words alone', () => {
  assert.ok(files.length > 100)
  const homeless = files.filter((file) => !isSimulator(file) && floorOf(file) < 0)
  const loose = files.filter((file) => dirname(file) === '.' && !['index.ts', ...words].includes(file))
  assert.deepEqual([...homeless, ...loose], [])
})

test('each room says in its first file what it is for, and who imports it', () => {
  const roomOf = (file: string) =>
    file.startsWith('../workers/')
      ? 'workers'
      : dirname(file) === '.'
        ? file.replace('.ts', '')
        : dirname(file)
  const threads = readdirSync(join(root, 'workers')).map((name) => join('../workers', name))
  const all = [...imports, ...threads.flatMap(importsOf)]
  const folders = new Set(files.map(dirname).filter((folder) => folder !== '.'))
  assert.ok(folders.size > 20)
  for (const room of folders) {
    const [first = ''] = files.filter((file) => dirname(file) === room).sort()
    const [header = ''] = /^\/\*\*.*?\*\//s.exec(textOf(first)) ?? []
    const text = header.replaceAll(/\s*\n \*\s*/g, ' ')
    const [, named = ''] =
      new RegExp(`Room \`${room}\`: [^.]+\\. (Imported by .*|Nothing imports it)\\.`).exec(text) ?? []
    assert.ok(named, `${first} does not say what the room ${room} is for`)
    const importing = all.filter(({ to }) => roomOf(to) === room).map(({ from }) => roomOf(from))
    const others = [...new Set(importing)].filter((other) => other !== room).sort()
    assert.deepEqual(
      [...named.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
      others,
      first,
    )
  }
})

test('imports go down, never up', () => {
  const upward = imports.filter(({ from, to }) => !isSimulator(from) && floorOf(to) > floorOf(from))
  assert.deepEqual(upward, [])
})

test('vendors do not import each other', () => {
  const beside = imports.filter(
    ({ from, to }) => rooms[floorOf(from)] === 'providers/*' && floorOf(from) === floorOf(to),
  )
  assert.deepEqual(
    beside.filter(({ from, to }) => dirname(from) !== dirname(to)),
    [],
  )
})

test('no circle of imports, types included', () => {
  const next = Map.groupBy(imports, ({ from }) => from)
  const done = new Set<string>()
  const visit = (file: string, path: string[]): void => {
    assert.ok(!path.includes(file), [...path, file].join(' → '))
    if (done.has(file)) return
    for (const { to } of next.get(file) ?? []) visit(to, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
})

test('nothing imports the waiting side of generate() but LLM, Session and the sync twins', () => {
  const reaching = imports.filter(({ from, to }) => to.startsWith('blocking/') && !mayBlock.test(from))
  assert.deepEqual(reaching, [])
})

test('the simulator and the library know nothing of each other', () => {
  const crossing = imports.filter(
    ({ from, to }) => isSimulator(from) !== isSimulator(to) && to !== 'runtime.ts',
  )
  assert.deepEqual(crossing, [])
})

test('workers/ holds the entries of threads alone, which nobody imports', () => {
  const entries = readdirSync(join(root, 'workers'))
  assert.deepEqual(entries, ['blocking.ts', 'sqlite.ts', 'tokenize.ts'])
  const importing = imports.filter(({ to }) => to.startsWith('../workers'))
  assert.deepEqual(importing, [])
})

test('piscina is imported by the worker pool alone', () => {
  const importing = files.filter((file) => /(from|import\() ?'piscina'/.test(textOf(file)))
  assert.deepEqual(importing, ['threads/worker-pool.ts'])
})

test('dependencies are imported by their public names', () => {
  const inner = files.filter((file) =>
    /(from |import\(|require\()'[^'.][^']*\/(lib|dist|src|internal|build)\//.test(textOf(file)),
  )
  assert.deepEqual(inner, [])
})

test('no vendor SDK is imported but as a type or on first use', () => {
  const sdks = /^import (?!type)[^'\n]*'(openai|@anthropic-ai|@google|cohere-ai|ollama)[^']*'/m
  assert.deepEqual(
    files.filter((file) => sdks.test(textOf(file))),
    [],
  )
})

test('every entry point refuses an old Node before anything else is loaded', () => {
  const inSource = entries.filter((entry) => !entry.startsWith('..'))
  assert.deepEqual(inSource, [
    'index.ts',
    'providers/index.ts',
    'store/index.ts',
    'consensus/index.ts',
    'simulator/index.ts',
  ])
  for (const entry of inSource) {
    const first = imports.find(({ from }) => from === entry)
    assert.equal(first?.to, 'runtime.ts', entry)
  }
})

test('nothing imports an entry point', () => {
  const importing = imports.filter(({ to }) => entries.includes(to))
  assert.deepEqual(importing, [])
})

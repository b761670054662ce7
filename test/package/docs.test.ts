/** Prose rots: each name, path, link and snippet in the documentation has to exist, and what exists has to be documented. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'vitest'
import ts from 'typescript'
import { listProviders } from 'convoke'
import { asMarkdown, speedTable } from '../bench/report.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')

const guidesAndReference = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => join('docs', name))
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md', ...guidesAndReference]

const readme = read('README.md')
const contributing = read('CONTRIBUTING.md')
const errorCodes = read('docs/reference/error-codes.md')
const manifest = JSON.parse(read('package.json')) as {
  scripts: Record<string, string>
  exports: Record<string, unknown>
}

/** The code blocks of a page, by language. */
function snippets(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , code]) => code as string)
}

/** A page without code, in which brackets and hashes mean something else. */
function proseOf(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, (code) => code.slice(1, -1))
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(text: string): string[] {
  return [...proseOf(text).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) =>
    heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function linksOf(page: string): string[] {
  const text = read(page)
    .replace(/^```[\s\S]*?^```$/gm, '')
    .replace(/`[^`\n]*`/g, '')
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string)
}

test('every relative link leads to a file, and to a heading of it', () => {
  const broken: string[] = []
  let count = 0
  for (const page of pages) {
    for (const link of linksOf(page).filter((target) => !/^[a-z]+:/.test(target))) {
      count++
      const [path = '', anchor] = link.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      const isThere = existsSync(join(root, file))
      if (!isThere || (anchor && !anchorsOf(read(file)).includes(anchor))) broken.push(`${page}: ${link}`)
    }
  }
  assert.ok(count > 100)
  assert.deepEqual(broken, [])
})

test('every page of docs/ can be reached from the README', () => {
  const reached = new Set<string>()
  const visit = (page: string): void => {
    if (reached.has(page) || !page.endsWith('.md') || !existsSync(join(root, page))) return
    reached.add(page)
    for (const link of linksOf(page))
      visit(relative(root, resolve(root, dirname(page), link.split('#')[0] ?? '')))
  }
  visit('README.md')
  assert.deepEqual(
    pages.filter((page) => !reached.has(page)),
    [],
  )
})

test('every snippet of TypeScript parses, and what it imports from convoke exists', async () => {
  const wrong: string[] = []
  const modules = new Map<string, object>()
  let count = 0
  for (const page of pages) {
    for (const code of snippets(read(page), 'ts')) {
      count++
      const { diagnostics = [] } = ts.transpileModule(code, {
        reportDiagnostics: true,
        compilerOptions: { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext },
      })
      wrong.push(
        ...diagnostics.map(
          ({ messageText }) => `${page}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
        ),
      )
      for (const [, names = '', entry = ''] of code.matchAll(/^import \{([^}]*)\} from '(convoke[^']*)'/gm)) {
        if (!Object.hasOwn(manifest.exports, entry.replace('convoke', '.'))) continue
        if (!modules.has(entry)) modules.set(entry, (await import(entry)) as object)
        for (const name of names.split(',').map((word) => word.trim())) {
          if (!(name in (modules.get(entry) as object))) wrong.push(`${page}: ${name} of ${entry}`)
        }
      }
    }
  }
  assert.ok(count > 30)
  assert.deepEqual(wrong, [])
})

test('the README begins with one line that installs and a snippet that needs nothing else', () => {
  assert.equal(snippets(readme, 'sh')[0], 'npm install convoke openai\n')
  const [first = ''] = snippets(readme, 'ts')
  assert.ok(first.includes("createLLM('openai', { model: 'gpt-4o-mini' })"))
  assert.deepEqual(
    [...first.matchAll(/createLLM\('([^']*)'/g)].map(([, name]) => name),
    ['openai'],
  )
})

test('the README and the guide have a row for every provider', () => {
  const rowsOf = (text: string) => text.split('\n').filter((line) => line.startsWith('|'))
  for (const page of ['README.md', 'docs/guides/providers-and-servers.md']) {
    const rows = rowsOf(read(page)).map((line) => line.split('|')[1] as string)
    for (const name of listProviders()) {
      assert.ok(
        rows.some((cell) => cell.includes(`\`${name}\``)),
        `${page}: ${name}`,
      )
    }
  }
})

test('the README names every example, and every script that the pages tell to run exists', () => {
  for (const file of readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'))) {
    assert.ok(readme.includes(`\`${file.replace('.ts', '')}\``), file)
  }
  for (const page of pages) {
    for (const [, name = ''] of read(page).matchAll(/npm run ([\w:]+)/g)) {
      assert.ok(manifest.scripts[name], `${page}: npm run ${name}`)
    }
    for (const [, name = ''] of read(page).matchAll(/npm run example -- ([a-z-]+)/g)) {
      assert.ok(existsSync(join(root, `examples/${name}.ts`)), `${page}: ${name}`)
    }
  }
})

test('every code of errors is explained, and those that a call can end with stand in the README', () => {
  const inRunsOfTools = /^tool_failed$/
  const codes = [...read('src/errors.ts').matchAll(/^ {2}(\w+): (?:true|false),$/gm)].map(
    ([, code]) => code as string,
  )
  assert.ok(codes.length > 25)
  for (const code of codes) assert.match(errorCodes, new RegExp(`^\\| \`${code}\` `, 'm'))
  for (const code of codes.filter((name) => !inRunsOfTools.test(name)))
    assert.ok(readme.includes(`\`${code}\``), code)
})

test('the reference has every option of calls and LLMs, and every type of chunk', () => {
  const options = read('docs/reference/options.md')
  for (const file of ['generate-options.ts', 'llm-options.ts']) {
    const names = [...read(`src/options/${file}`).matchAll(/^ {2}(\w+)\?:/gm)].map(
      ([, name]) => name as string,
    )
    assert.ok(names.length > 10)
    for (const name of names) assert.ok(options.includes(`\`${name}\``), `${file}: ${name}`)
  }
  const chunks = read('docs/reference/responses-and-chunks.md')
  const types = [...read('src/types.ts').matchAll(/interface \w+Chunk \{\n {2}type: '([\w-]+)'/g)]
  assert.ok(types.length > 8)
  for (const [, type = ''] of types) assert.ok(chunks.includes(`| \`${type}\``), type)
})

test('the table of benchmarks has the columns that the benchmark prints', () => {
  const [head = ''] = asMarkdown(speedTable([]))
    .split('\n')
    .filter((line) => line.startsWith('|'))
  const columns = (line: string) => line.split('|').map((cell) => cell.trim())
  const lines = read('docs/benchmarks.md').split('\n')
  assert.ok(lines.some((line) => columns(line).join('|') === columns(head).join('|')))
})

test('every file and folder that CONTRIBUTING and the decisions name exists', () => {
  const texts = [contributing, ...pages.filter((page) => page.startsWith('docs/decisions/')).map(read)]
  const paths = texts.flatMap((text) =>
    [...text.matchAll(/\b((?:src|test|examples|workers)\/[\w./<>-]*)/g)].map(([, path]) => path as string),
  )
  assert.ok(paths.length > 30)
  for (const path of paths) {
    // The recipe's placeholder, filled in by the providers that follow it.
    const names = path.includes('<') ? ['anthropic', 'cohere', 'ollama'] : ['']
    for (const name of names)
      assert.ok(existsSync(join(root, path.replace('<name>', name).replace(/\.$/, ''))), path)
  }
})

test('CONTRIBUTING is short, and names every file right under src/ and every room', () => {
  assert.ok(contributing.trimEnd().split('\n').length <= 120)
  for (const { name, isRoom } of readdirSync(join(root, 'src'), { withFileTypes: true }).map((entry) => ({
    name: entry.name,
    isRoom: entry.isDirectory(),
  }))) {
    assert.ok(contributing.includes(isRoom ? `\`src/${name}/` : `\`${name}\``), name)
  }
})

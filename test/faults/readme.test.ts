/**
 * The README's first install line and first snippet run as printed: in an empty folder, with the packed library, against
 * the simulator. The environment alone leads there, by the variables of OpenAI's SDK. Needs the npm registry.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')

/** The environment without what an npm that runs this test has set: it points at this folder, not at the empty one. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle|command|config_local_prefix)|INIT_CWD|NODE_OPTIONS)/.test(name),
  ),
)

test('the first install line and the first snippet of the README do what it says', async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8')
  const blocks = [...readme.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
    language,
    text,
  }))
  const install = blocks.find(({ language }) => ['sh', 'console'].includes(language))?.text.trim() ?? ''
  const at = blocks.findIndex(({ language }) => ['ts', 'js'].includes(language))
  const snippet = blocks[at]?.text ?? ''
  const printed = blocks[at + 1]
  assert.equal(printed?.language, '', 'what the snippet prints follows it')
  assert.match(install, /^npm install convoke( [@\w/-]+)*$/)

  const home = await mkdtemp(join(tmpdir(), 'convoke-readme-'))
  const simulator = await startSimulator({
    reply: ({ prompt }) =>
      prompt.includes('France') ? 'Paris.' : 'Once upon a time a stream ended, and it said so.',
  })
  try {
    await run('npm', ['pack', '--pack-destination', home], { cwd: root, env: environment })
    const [tarball = ''] = await readdir(home)
    const project = await mkdtemp(join(home, 'project-'))
    // Before the release, the registry has no convoke: the tarball stands in for its name.
    const args = install.split(' ').slice(1)
    const names = args.map((word) => (word === 'convoke' ? join(home, tarball) : word))
    await run('npm', names, { cwd: project, env: environment })
    // The snippet is plain JavaScript, so that it runs on the oldest Node as well, which strips no types.
    await writeFile(join(project, 'main.mjs'), snippet)
    const { stdout, stderr } = await run(process.execPath, ['main.mjs'], {
      cwd: project,
      env: {
        ...environment,
        OPENAI_BASE_URL: simulator.baseURL('openai'),
        OPENAI_API_KEY: 'sk-simulated',
      },
    })
    assert.equal(stderr, '')
    assert.equal(stdout.trim(), printed.text.trim())
    assert.equal(simulator.requests.length, 2)
  } finally {
    await simulator.close()
    await rm(home, { recursive: true, force: true })
  }
})

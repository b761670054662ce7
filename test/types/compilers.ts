/**
 * `npm run test:types`: the packed types, and what users write against them (consumer.ts), under every supported
 * TypeScript: 5.7, the lowest; 6.0; and 7.0, the native compiler. Each with Node's and with a bundler's resolution, with
 * and without `@types/node`, and never with `skipLibCheck`, so that no error of our own declarations hides. Needs a build.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const compilers = join(import.meta.dirname, 'compilers/node_modules')
const versions = ['5.7', '6.0', '7.0']
const resolutions = {
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
}

/** A project that has installed the packed library. */
async function install(home: string, hasNodeTypes: boolean): Promise<void> {
  const modules = join(home, 'node_modules')
  await mkdir(modules, { recursive: true })
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', home], { cwd: root })
  const [tarball = ''] = (await readdir(home)).filter((name) => name.endsWith('.tgz'))
  await run('tar', ['-xzf', tarball, '-C', modules], { cwd: home })
  await cp(join(modules, 'package'), join(modules, 'convoke'), { recursive: true })
  await symlink(join(compilers, '@standard-schema'), join(modules, '@standard-schema'))
  if (hasNodeTypes) {
    for (const name of ['@types', 'undici-types']) await symlink(join(compilers, name), join(modules, name))
  }
  await cp(join(import.meta.dirname, 'consumer.ts'), join(home, 'consumer.ts'))
  await writeFile(join(home, 'package.json'), '{"type":"module"}')
}

async function compile(home: string, version: string, options: object): Promise<string> {
  const compilerOptions = {
    target: 'es2022',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    ...options,
  }
  await writeFile(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
  const compiler = join(compilers, `typescript-${version}/bin/tsc`)
  return run(process.execPath, [compiler, '--pretty', 'false'], { cwd: home }).then(
    () => '',
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  )
}

for (const hasNodeTypes of [true, false]) {
  const home = await mkdtemp(join(tmpdir(), 'convoke-types-'))
  try {
    await install(home, hasNodeTypes)
    for (const [resolution, options] of Object.entries(resolutions)) {
      for (const version of versions) {
        const types = hasNodeTypes ? ['node'] : []
        const errors = await compile(home, version, { ...options, types })
        const name = `TypeScript ${version}, ${resolution}, ${hasNodeTypes ? 'with' : 'without'} @types/node`
        console.log(`${errors ? 'fails ' : 'passes'} ${name}${errors && `\n${errors}`}`)
        if (errors) process.exitCode = 1
      }
    }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

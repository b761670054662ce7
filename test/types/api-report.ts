/**
 * `npm run api` writes the public names and signatures of each entry point to `test/types/api/`; `npm run api:check` fails where
 * they differ from what is committed there, so that no change of the public face goes unseen. Reads the build.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'

const root = resolve(import.meta.dirname, '../..')
const isCheck = process.argv.includes('--check')
const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, string | { types: string }>
}
const temporary = await mkdtemp(join(tmpdir(), 'convoke-api-'))

/** Public names without a doc comment. */
const undocumented = new Set<string>()
/** Members that a comment could only repeat: what tells a union's cases apart, and methods of the language. */
const explainsItself = /"(type|role|kind|content|\[Symbol\.\w+\])"/

/** Writes or checks the report of one entry point. */
function report(path: string, types: string): void {
  const name = path === '.' ? 'convoke' : path.slice(2)
  const extractorConfig = ExtractorConfig.prepare({
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: join(root, types),
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            target: 'es2023',
            lib: ['es2024', 'esnext.disposable'],
            module: 'nodenext',
            types: ['node'],
            strict: true,
          },
          files: [types],
        },
      },
      apiReport: {
        enabled: true,
        reportFolder: join(root, 'test/types/api'),
        reportTempFolder: temporary,
        reportFileName: `${name}.api.md`,
        // A type that another entry point exports is shown here as well; api-report.test.ts holds that one does.
        includeForgottenExports: true,
      },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Error },
          // All that an entry point exports is public; there are no stages of release.
          'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
          'ae-forgotten-export': { logLevel: ExtractorLogLevel.None },
          'ae-undocumented': { logLevel: ExtractorLogLevel.Warning },
        },
        // Doc comments are written for editors, which read Markdown, not TSDoc.
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
    configObjectFullPath: join(root, 'api-extractor.json'),
    packageJsonFullPath: join(root, 'package.json'),
  })
  const { apiReportChanged, errorCount } = Extractor.invoke(extractorConfig, {
    localBuild: !isCheck,
    messageCallback: (message) => {
      if (message.messageId === 'ae-undocumented' && !explainsItself.test(message.text)) {
        const { sourceFilePath = '', sourceFileLine = 0, text } = message
        undocumented.add(`${relative(root, sourceFilePath)}:${sourceFileLine} ${text}`)
      }
      // The outcome is told below.
      if (message.logLevel !== ExtractorLogLevel.Error) message.handled = true
    },
  })
  if (isCheck && apiReportChanged) {
    console.error(
      `test/types/api/${name}.api.md is not what the build exports. Run npm run api, and commit what it writes.`,
    )
  }
  if (errorCount > 0 || (isCheck && apiReportChanged)) process.exitCode = 1
}

try {
  for (const [path, entry] of Object.entries(exports)) {
    if (typeof entry === 'object') report(path, entry.types)
  }
  for (const finding of undocumented) console.error(finding)
  if (undocumented.size > 0) process.exitCode = 1
} finally {
  await rm(temporary, { recursive: true, force: true })
}

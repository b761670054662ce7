/**
 * The first import of every entry point: refuses a Node that is too old, in one sentence, before anything else
 * of the library (a native module above all: better-sqlite3 13 ends Node 20 with a segmentation fault) is loaded.
 * It may use only what the oldest Node can parse.
 *
 * The reference brings `AsyncDisposable` to the declarations of all entry points, for projects whose own `lib` is older.
 */
/// <reference lib="esnext.disposable" preserve="true" />
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 12)) {
  const error = new Error(
    `unsupported_runtime: convoke needs Node 22.12 or newer; this is Node ${process.versions.node}.`,
  )
  error.name = 'ConvokeError'
  // The reader needs the sentence, not the lines of a stack through the loader.
  error.stack = `${error.name} ${error.message}`
  throw Object.assign(error, { code: 'unsupported_runtime' })
}

export {}

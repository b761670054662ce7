/** Node's command-line flags for the library's threads. */

/** Flags that decide which code is loaded. All others concern the process, or the script on its command line. */
const passed = /^(-C|-r|--(conditions|require|import|loader|experimental-loader)(=|$))/

/**
 * The `execArgv` option of a thread. It is left out, so that the thread inherits all flags, unless the program came as text
 * (`node --input-type=module`). That flag would end a thread that runs a file, so a list without it is given; flags of the
 * whole process are left out of the list, since Node refuses them.
 */
export function threadExecArgv(given: readonly string[] = process.execArgv): { execArgv?: string[] } {
  if (!given.some((word) => word.startsWith('--input-type'))) return {}
  const execArgv = given.flatMap((word, at) => {
    if (!passed.test(word)) return []
    return word.includes('=') ? [word] : [word, given[at + 1] ?? '']
  })
  return { execArgv }
}

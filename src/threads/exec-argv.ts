/** The command line that a thread of convoke's is given. */

/** What decides which code is loaded; all else concerns the process, or the script on its command line. */
const passed = /^(-C|-r|--(conditions|require|import|loader|experimental-loader)(=|$))/

/**
 * Nothing, so that a thread inherits it all, but for a module that came as text (`node --input-type=module`): its flag
 * would end a thread that runs a file, and Node takes no list with flags of the process.
 */
export function threadExecArgv(given: readonly string[] = process.execArgv): { execArgv?: string[] } {
  if (!given.some((word) => word.startsWith('--input-type'))) return {}
  const execArgv = given.flatMap((word, at) => {
    if (!passed.test(word)) return []
    return word.includes('=') ? [word] : [word, given[at + 1] ?? '']
  })
  return { execArgv }
}

/** A worker that fails before its first task. */
export {}
throw new Error('No room for this thread')

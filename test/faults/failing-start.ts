/** A worker that never gets as far as its first task. */
export {}
throw new Error('No room for this thread')

/** Counts unhandled rejections and warnings of this process, which are signs of mishandled calls. */
export interface ProcessWatch {
  rejections: unknown[]
  warnings: Error[]
  /** Waits for late ones, and then stops counting. */
  stop(): Promise<void>
}

export function watchProcess(): ProcessWatch {
  const rejections: unknown[] = []
  const warnings: Error[] = []
  const onRejection = (reason: unknown) => void rejections.push(reason)
  const onWarning = (warning: Error) => void warnings.push(warning)
  process.on('unhandledRejection', onRejection)
  process.on('warning', onWarning)
  return {
    rejections,
    warnings,
    async stop() {
      await new Promise((resolve) => setTimeout(resolve, 50))
      process.off('unhandledRejection', onRejection)
      process.off('warning', onWarning)
    },
  }
}

/** Counts what a process says of calls that were handled badly: rejections that nobody caught, and warnings. */
export interface ProcessWatch {
  rejections: unknown[]
  warnings: Error[]
  /** Waits for what is late, then stops counting. */
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

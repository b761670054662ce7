/**
 * The process of a test file. vitest ends a test that takes too long by a timer in that process, which never fires while
 * the process is blocked: a test that loops or waits without end would hold up the whole run. So the runner watches from
 * outside, and ends a process that has said nothing for longer than a test may take.
 */
import { ForksPoolWorker } from 'vitest/node'
import type { PoolOptions, PoolRunnerInitializer, TestProject, WorkerRequest } from 'vitest/node'

export const processWithLimit: PoolRunnerInitializer = {
  name: 'process-with-limit',
  createPoolWorker: (options) => new ProcessWithLimit(options),
}

class ProcessWithLimit extends ForksPoolWorker {
  override readonly name = 'process-with-limit'
  readonly #project: TestProject
  /** Longer than a test may take, which then ends by its own limit. */
  readonly #maxSilenceMs: number
  #timer: NodeJS.Timeout | undefined

  constructor(options: PoolOptions) {
    super(options)
    this.#project = options.project
    this.#maxSilenceMs = 1.25 * options.project.config.testTimeout
  }

  override async start(): Promise<void> {
    await super.start()
    this.on('message', () => this.#timer?.refresh())
    this.on('exit', () => {
      clearTimeout(this.#timer)
      this.#timer = undefined
    })
  }

  override send(request: WorkerRequest): void {
    if (request.type === 'run') {
      const files = request.context.files.map(({ filepath }) => filepath).join(', ')
      this.#timer = setTimeout(() => void this.#endProcess(files), this.#maxSilenceMs).unref()
    }
    super.send(request)
  }

  #endProcess(files: string): Promise<void> {
    const seconds = this.#maxSilenceMs / 1_000
    this.#project.vitest.logger.error(
      `${files} blocked its process for ${seconds} s, so the process was ended.`,
    )
    return this.stop()
  }
}

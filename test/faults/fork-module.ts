/**
 * Runs a module in a process of its own, so that the memory and the CPU time of client and server can be told apart.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export interface Forked {
  child: ChildProcess
  /** Waits for the next message of the child. Rejects when the child exits without one. */
  message<T>(): Promise<T>
  /** Sends a message, and returns the child's answer. */
  ask<T>(message: string): Promise<T>
  stdout(): string
  stderr(): string
  /** The exit code. */
  exited: Promise<number | null>
}

export function forkModule(
  file: string,
  args: readonly string[] = [],
  options: { execArgv?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
): Forked {
  const child = fork(join(import.meta.dirname, file), args, {
    execArgv: ['--conditions=convoke-source', '--unhandled-rejections=strict', ...(options.execArgv ?? [])],
    env: { ...process.env, ...options.env },
    silent: true,
  })
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (bytes) => (stdout += String(bytes)))
  child.stderr?.on('data', (bytes) => (stderr += String(bytes)))
  const inbox: unknown[] = []
  let onMessage = () => {}
  child.on('message', (message) => {
    inbox.push(message)
    onMessage()
  })
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  const message = async <T>(): Promise<T> => {
    if (inbox.length === 0) {
      await Promise.race([new Promise<void>((resolve) => (onMessage = resolve)), exited])
    }
    assert.ok(inbox.length > 0, `${file} ended without a word: ${stderr}`)
    return inbox.shift() as T
  }
  return {
    child,
    message,
    ask: (text) => {
      child.send(text)
      return message()
    },
    stdout: () => stdout,
    stderr: () => stderr,
    exited,
  }
}

/** For the child: sends a message to its parent. */
export function tell(message: unknown): void {
  process.send?.(message as object)
}

import { findFault, readVendorFault, replyError } from '../../transport/fault.ts'
import type { ReplyLabels } from './event-mapper.ts'

/**
 * Throws the error that a vendor reports inside a reply although the status said success.
 * @param raw the body or the event with every key of the caller taken out, so that the error may show it
 * @param eventName an event named `error` is an error whatever its body holds
 */
export function throwIfFault(raw: unknown, eventName: string | undefined, labels: ReplyLabels): void {
  const fault = findFault(raw as Record<string, unknown>) ?? (eventName === 'error' ? raw : undefined)
  if (fault) throw replyError(readVendorFault(fault), raw, labels)
}
